"""hasten: delayed -> waiting, before it is due; an active job is marked, and not put off."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.errors import JobInState, JobNotFound
from server.engine.job import JobState
from server.engine.mend import hasten
from server.engine.sweep import reclaim
from server.engine.work import extend
from tests.conftest import Clock
from tests.engine.hands import (
    BACKOFF,
    LEASE,
    QUEUE,
    Settle,
    Worker,
    completed,
    contents,
    failed,
    ids,
    look,
    new_job,
    put,
    released,
    retried,
    run_of,
    snoozed,
    state,
    woken,
)


def test_a_delayed_job_waits_before_it_is_due(engine: Engine, worker: Worker) -> None:
    put(engine, new_job(delay=timedelta(hours=1)))

    assert engine.run(hasten(QUEUE, "a")) is JobState.WAITING

    assert (look(engine).state, look(engine).run_at) == (JobState.WAITING, None)
    assert ids(worker.take()) == ["a"]


def test_it_stands_at_the_end_of_its_band(engine: Engine, worker: Worker) -> None:
    put(engine, "normal", new_job("high", priority=1), new_job("late", priority=1, delay=BACKOFF))
    engine.run(hasten(QUEUE, "late"))
    put(engine, new_job("last", priority=1))

    assert ids(worker.take()) == ["high", "late", "last", "normal"]


def test_what_it_has_used_up_stays(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    engine.run(retried(worker.take_one()))

    engine.run(hasten(QUEUE, "a"))

    assert worker.take_one().attempt == 2


def test_a_waiting_job_keeps_its_place(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a", "b")
    before = contents(raw)

    assert engine.run(hasten(QUEUE, "a")) is JobState.WAITING
    assert contents(raw) == before


def test_it_wakes_a_worker(engine: Engine, raw: redis.Redis) -> None:
    put(engine, new_job(delay=BACKOFF))
    woken(raw)

    engine.run(hasten(QUEUE, "a"))

    assert woken(raw)


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("ended", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
def test_an_ended_job_is_refused_and_its_state_named(
    engine: Engine, worker: Worker, raw: redis.Redis, ended: JobState, active: bool
) -> None:
    put(engine, "a")
    if ended is JobState.CANCELLED:
        engine.run(cancel(QUEUE, "a"))
    else:
        engine.run((completed if ended is JobState.COMPLETED else failed)(worker.take_one()))
    before = contents(raw)

    with pytest.raises(JobInState, match=f"^job a is {ended}$"):
        engine.run(hasten(QUEUE, "a", active=active))
    assert contents(raw) == before


def test_an_unknown_job_is_not_found(engine: Engine) -> None:
    with pytest.raises(JobNotFound):
        engine.run(hasten(QUEUE, "nobody"))


def test_an_active_job_is_refused_by_default(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    worker.take_one()
    before = contents(raw)

    with pytest.raises(JobInState, match=r"^job a is active$"):
        engine.run(hasten(QUEUE, "a"))
    assert contents(raw) == before


LATER = timedelta(hours=1)


@pytest.mark.parametrize("settle", [retried, snoozed, released])
def test_a_job_that_was_signalled_while_it_ran_is_not_put_off(engine: Engine, worker: Worker, settle: Settle) -> None:
    """What it waits for came before it had found out that it was not there yet."""
    put(engine, "a")
    job = worker.take_one()
    assert engine.run(hasten(QUEUE, "a", active=True)) is JobState.ACTIVE

    assert engine.run(settle(job, delay=LATER)) == [True]

    assert state(engine) is JobState.WAITING
    assert ids(worker.take()) == ["a"]


@pytest.mark.parametrize("settle", [retried, snoozed])
def test_the_attempt_counts_as_without_a_signal(engine: Engine, worker: Worker, settle: Settle) -> None:
    put(engine, "a", "b")
    jobs = worker.take()
    engine.run(hasten(QUEUE, "a", active=True))
    engine.run(settle(*jobs, delay=LATER))

    assert look(engine, "a").spent == look(engine, "b").spent
    assert len(look(engine, "a").attempts) == 1
    assert state(engine, "b") is JobState.DELAYED


def test_a_signal_holds_for_one_attempt(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(hasten(QUEUE, "a", active=True))
    engine.run(snoozed(job, delay=LATER))

    engine.run(snoozed(worker.take_one(), delay=LATER))

    assert state(engine) is JobState.DELAYED


def test_a_lease_that_is_extended_keeps_the_signal(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Also where the start is written into it only then."""
    put(engine, "a")
    job = worker.take_one()
    engine.run(hasten(QUEUE, "a", active=True))
    clock.advance(seconds=5)
    assert engine.run(extend(QUEUE, [run_of(job)], lease=LEASE)) == {}

    engine.run(retried(job, delay=LATER))

    assert state(engine) is JobState.WAITING


def test_a_signal_keeps_the_start_and_the_lease(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(extend(QUEUE, [run_of(job)], lease=LEASE))
    before = look(engine)
    clock.advance(seconds=5)

    engine.run(hasten(QUEUE, "a", active=True))

    assert look(engine) == before
    assert engine.run(completed(job)) == [True]


def test_who_was_asked_to_stop_stops_all_the_same(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(hasten(QUEUE, "a", active=True))
    engine.run(cancel(QUEUE, "a"))

    engine.run(snoozed(job, delay=LATER))

    assert state(engine) is JobState.CANCELLED


def test_a_signalled_job_whose_worker_is_lost_goes_back_as_any_other(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, "a")
    worker.take_one()
    engine.run(hasten(QUEUE, "a", active=True))
    clock.advance(LEASE)

    engine.run(reclaim(QUEUE))

    assert state(engine) is JobState.WAITING
