"""extend: active stays active."""

from __future__ import annotations

from datetime import timedelta

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import JobState
from server.engine.sweep import Reclaimed, reclaim
from server.engine.work import Attention, Run, extend
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, RAN_FOR, Worker, completed, look, put, released, run_of, state


def test_an_extended_lease_runs_from_now(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    clock.advance(seconds=10)

    assert engine.run(extend(QUEUE, [run_of(job)], lease=LEASE)) == {}

    assert look(engine).lease_ends_at == clock.now + LEASE
    clock.advance(seconds=14)
    assert engine.run(reclaim(QUEUE)).jobs == {}
    assert state(engine) is JobState.ACTIVE


def test_a_lease_that_ran_out_but_was_not_reclaimed_is_extended(engine: Engine, clock: Clock, worker: Worker) -> None:
    """After Redis was away for longer than a lease, the living keep what they have."""
    put(engine, "a")
    job = worker.take_one()
    clock.advance(seconds=60)

    assert engine.run(extend(QUEUE, [run_of(job)], lease=LEASE)) == {}
    engine.run(completed(job))
    assert state(engine) is JobState.COMPLETED


def test_a_lost_lease_is_told_and_not_revived(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a", "b", "c")
    a, b, c = worker.take(3)
    engine.run(released(a))
    engine.run(completed(b))

    told = engine.run(extend(QUEUE, [run_of(a), run_of(b), run_of(c)], lease=LEASE))

    assert told == {"a": Attention.LEASE_LOST, "b": Attention.LEASE_LOST}
    assert state(engine, "a") is JobState.WAITING
    assert state(engine, "b") is JobState.COMPLETED


def test_the_lease_of_the_one_that_has_the_job_now_stays_as_it_is(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker
) -> None:
    put(engine, "a")
    stale = worker.take_one()
    engine.run(released(stale))
    other_worker.take_one()
    ends_at = look(engine).lease_ends_at
    clock.advance(seconds=1)

    assert engine.run(extend(QUEUE, [run_of(stale)], lease=LEASE)) == {"a": Attention.LEASE_LOST}
    assert look(engine).lease_ends_at == ends_at


def test_a_job_that_was_asked_to_stop_is_told_so_and_extended(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Its worker needs the lease to stop it in order."""
    put(engine, "a", "b")
    jobs = worker.take(2)
    engine.run(cancel(QUEUE, "b"))
    clock.advance(seconds=1)

    assert engine.run(extend(QUEUE, [run_of(job) for job in jobs], lease=LEASE)) == {"b": Attention.CANCEL}
    assert look(engine, "b").lease_ends_at == clock.now + LEASE


def test_the_first_word_on_when_a_job_started_stands(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    reserved_at = clock.now
    clock.advance(seconds=1)
    assert look(engine).attempts[0].started_at == reserved_at

    engine.run(extend(QUEUE, [Run(lease=job.lease, started_after=None)], lease=LEASE))
    assert look(engine).attempts[0].started_at == reserved_at
    engine.run(extend(QUEUE, [run_of(job)], lease=LEASE))
    engine.run(extend(QUEUE, [Run(lease=job.lease, started_after=timedelta(seconds=9))], lease=LEASE))
    assert look(engine).attempts[0].started_at == reserved_at + RAN_FOR


def test_a_started_job_goes_back_to_its_place_like_any_other(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker
) -> None:
    put(engine, "a", "b")
    job = worker.take_one()
    engine.run(extend(QUEUE, [run_of(job)], lease=LEASE))
    clock.advance(LEASE)

    assert engine.run(reclaim(QUEUE)).jobs == {"a": Reclaimed.WAITING}
    assert other_worker.take_one().request.id == "a"
