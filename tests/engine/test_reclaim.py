"""reclaim: active -> waiting | failed, where the lease has run out."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, FailureReason, JobState
from server.engine.sweep import Reclaimed, Reclamation, reclaim
from server.engine.work import extend
from tests.conftest import Clock
from tests.engine.hands import (
    LEASE,
    QUEUE,
    SETTLEMENTS,
    Settle,
    Worker,
    contents,
    ids,
    look,
    new_job,
    put,
    run_of,
    state,
    woken,
)

SECOND = timedelta(seconds=1)
NOTHING = Reclamation(held=False, jobs={})


def sweep_until(engine: Engine, clock: Clock, span: timedelta) -> dict[str, Reclaimed]:
    """Time goes on, and a sweep comes by every second, as sweeps do."""
    jobs: dict[str, Reclaimed] = {}
    for _ in range(round(span / SECOND)):
        clock.advance(SECOND)
        jobs |= engine.run(reclaim(QUEUE)).jobs
    return jobs


def test_a_lease_that_has_not_run_out_is_left_alone(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    worker.take_one()

    assert sweep_until(engine, clock, LEASE - SECOND) == {}
    assert state(engine) is JobState.ACTIVE


def test_the_job_of_a_dead_worker_goes_back_to_its_place(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker
) -> None:
    put(engine, "a", "b")
    worker.take_one()

    assert sweep_until(engine, clock, LEASE) == {"a": Reclaimed.WAITING}

    put(engine, "c")
    assert ids(other_worker.take()) == ["a"]


def test_a_lost_lease_is_on_record(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    reserved_at = clock.now
    worker.take_one()
    sweep_until(engine, clock, LEASE)

    found = look(engine)
    (attempt,) = found.attempts
    assert (found.spent.lost, found.spent.failures) == (1, 0)
    assert (attempt.worker, attempt.outcome, attempt.error) == ("w1", AttemptOutcome.LOST, None)
    assert (attempt.started_at, attempt.ended_at) == (reserved_at, clock.now)
    assert raw.hget(f"cabrank:{{{QUEUE}}}:totals", "attempts:lost:email.welcome") == b"1"


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_who_lost_a_lease_settles_nothing_any_more(engine: Engine, clock: Clock, worker: Worker, name: str) -> None:
    """Also not in name: the answer tells the worker that its result was not taken."""
    settle: Settle = SETTLEMENTS[name]
    put(engine, "a")
    stale = worker.take_one()
    sweep_until(engine, clock, LEASE)

    assert engine.run(settle(stale)) == [False]
    assert state(engine) is JobState.WAITING


def test_a_job_whose_starts_are_lost_three_times_is_poison(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, new_job(payload=b'"s"', masked=b'"*"'))
    for expected in (Reclaimed.WAITING, Reclaimed.WAITING, Reclaimed.POISON):
        engine.run(extend(QUEUE, [run_of(worker.take_one())], lease=LEASE))
        assert sweep_until(engine, clock, LEASE) == {"a": expected}

    found = look(engine)
    assert found.state is JobState.FAILED
    assert found.failure is not None
    assert found.failure.reason is FailureReason.POISON
    assert found.failure.message == "its worker was lost 3 times while it had this job"
    assert [attempt.outcome for attempt in found.attempts] == [AttemptOutcome.LOST] * 3
    assert raw.exists(f"cabrank:{{{QUEUE}}}:secrets") == 0


def test_the_neighbours_of_a_poison_job_are_charged_a_suspicion_and_no_more(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    """Jobs that were reserved but never started are under suspicion once; then each is alone with its start."""
    put(engine, *(f"good{n}" for n in range(8)), "poison")
    worker.take()
    sweep_until(engine, clock, LEASE)
    for _ in range(30):
        jobs = worker.take()
        if jobs and jobs[0].request.id == "poison":
            engine.run(extend(QUEUE, [run_of(jobs[0])], lease=LEASE))
            sweep_until(engine, clock, LEASE)
        elif jobs:
            assert len(jobs) == 1
            engine.run(SETTLEMENTS["complete"](jobs[0]))

    assert state(engine, "poison") is JobState.FAILED
    for n in range(8):
        good = look(engine, f"good{n}")
        assert (good.state, good.spent.lost) == (JobState.COMPLETED, 1)


def test_a_suspect_that_never_started_is_not_charged_again(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    for _ in range(6):
        worker.take_one()
        assert sweep_until(engine, clock, LEASE) == {"a": Reclaimed.WAITING}

    found = look(engine)
    assert (found.state, found.spent.lost, len(found.attempts)) == (JobState.WAITING, 1, 1)


def test_a_job_that_was_asked_to_stop_is_cancelled(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    worker.take_one()
    engine.run(cancel(QUEUE, "a", "no longer wanted"))

    assert sweep_until(engine, clock, LEASE) == {"a": Reclaimed.CANCELLED}
    assert look(engine).cancel_reason == "no longer wanted"


def test_after_a_gap_without_sweeps_the_living_get_time_to_extend(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker
) -> None:
    """Redis was away for a minute: every lease has run out, though only one worker is dead."""
    put(engine, "dead", "alive")
    worker.take_one()
    alive = other_worker.take_one()
    engine.run(reclaim(QUEUE))
    clock.advance(seconds=60)

    assert engine.run(reclaim(QUEUE)) == Reclamation(held=True, jobs={})
    clock.advance(seconds=1)
    engine.run(extend(QUEUE, [run_of(alive)], lease=LEASE))
    assert engine.run(reclaim(QUEUE)).held
    clock.advance(seconds=2)

    assert engine.run(reclaim(QUEUE)) == Reclamation(held=False, jobs={"dead": Reclaimed.WAITING})
    assert state(engine, "alive") is JobState.ACTIVE


def test_a_clock_that_went_back_holds_as_well_and_not_for_ever(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    clock.advance(hours=1)
    engine.run(reclaim(QUEUE))
    clock.advance(seconds=60)
    assert engine.run(reclaim(QUEUE)).held

    clock.advance(hours=-1)
    assert engine.run(reclaim(QUEUE)).held
    worker.take_one()
    assert sweep_until(engine, clock, LEASE) == {"a": Reclaimed.WAITING}


def test_the_first_sweep_of_a_queue_holds_nothing_up(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    worker.take_one()
    clock.advance(LEASE)

    assert engine.run(reclaim(QUEUE)).jobs == {"a": Reclaimed.WAITING}


def test_a_sweep_takes_no_more_than_its_limit(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a", "b", "c")
    worker.take(3)
    clock.advance(LEASE)

    assert list(engine.run(reclaim(QUEUE, limit=2)).jobs) == ["a", "b"]
    assert list(engine.run(reclaim(QUEUE, limit=2)).jobs) == ["c"]


def test_what_was_taken_back_wakes_a_worker(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    worker.take_one()
    woken(raw)
    assert engine.run(reclaim(QUEUE)) == NOTHING
    assert not woken(raw)

    sweep_until(engine, clock, LEASE)
    assert woken(raw)


def test_a_job_whose_lease_was_deleted_by_hand_is_lined_up_again(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, new_job("a", priority=3))
    worker.take_one()
    raw.delete(f"cabrank:{{{QUEUE}}}:leases")
    put(engine, new_job("b", priority=2))

    assert sweep_until(engine, clock, LEASE) == {"a": Reclaimed.WAITING}
    assert ids(worker.take()) == ["a", "b"]


def test_a_job_of_which_nothing_is_left_is_dropped(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, "a")
    worker.take_one()
    raw.delete(f"cabrank:{{{QUEUE}}}:leases", f"cabrank:{{{QUEUE}}}:jobs")

    assert sweep_until(engine, clock, LEASE) == {}
    assert not any(b"a" in entries for entries in contents(raw).values())
