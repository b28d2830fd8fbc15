"""promote: delayed -> waiting for what is due; waiting | delayed -> failed for what has expired."""

from __future__ import annotations

from datetime import timedelta

import redis

from server.engine.engine import Engine
from server.engine.job import FailureReason, JobState
from server.engine.sweep import Promotion, promote
from tests.conftest import Clock
from tests.engine.hands import BACKOFF, QUEUE, Worker, ids, look, new_job, put, retried, state, woken

SECOND = timedelta(seconds=1)


def test_what_is_due_is_lined_up_and_the_rest_is_left(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("b", delay=2 * SECOND), new_job("a", delay=SECOND), new_job("c", delay=3 * SECOND))
    clock.advance(seconds=2)

    assert engine.run(promote(QUEUE)) == Promotion(promoted=2, expired=0)
    assert ids(worker.take()) == ["a", "b"]
    assert state(engine, "c") is JobState.DELAYED


def test_a_due_job_joins_the_end_of_its_band(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("due", delay=SECOND), "waits", new_job("urgent", delay=SECOND, priority=1))
    clock.advance(SECOND)
    engine.run(promote(QUEUE))
    put(engine, "later")

    assert ids(worker.take()) == ["urgent", "waits", "due", "later"]


def test_nothing_is_promoted_before_its_time(engine: Engine, clock: Clock) -> None:
    put(engine, new_job(delay=SECOND))
    clock.advance(milliseconds=999)

    assert engine.run(promote(QUEUE)) == Promotion(promoted=0, expired=0)


def test_a_step_takes_no_more_than_its_limit(engine: Engine, clock: Clock) -> None:
    put(engine, *(new_job(f"j{n}", delay=SECOND) for n in range(5)))
    clock.advance(SECOND)

    assert [engine.run(promote(QUEUE, limit=2)).promoted for _ in range(4)] == [2, 2, 1, 0]


def test_due_work_wakes_a_worker(engine: Engine, clock: Clock, raw: redis.Redis) -> None:
    put(engine, new_job(delay=SECOND))
    woken(raw)
    engine.run(promote(QUEUE))
    assert not woken(raw)

    clock.advance(SECOND)
    engine.run(promote(QUEUE))
    assert woken(raw)


def test_what_has_expired_fails_wherever_it_stands(engine: Engine, clock: Clock) -> None:
    """Also where nobody reserves: the caller who waits for the job learns of it in time."""
    expires_at = clock.now + SECOND
    put(engine, new_job("waiting", expires_at=expires_at), new_job("delayed", expires_at=expires_at, delay=9 * SECOND))
    put(engine, new_job("later", expires_at=expires_at + SECOND))
    clock.advance(SECOND)

    assert engine.run(promote(QUEUE)) == Promotion(promoted=0, expired=2)

    for job_id in ("waiting", "delayed"):
        found = look(engine, job_id)
        assert found.failure is not None
        assert (found.state, found.failure.reason) == (JobState.FAILED, FailureReason.EXPIRED)
    assert state(engine, "later") is JobState.WAITING


def test_a_running_job_is_not_expired_under_its_worker(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(expires_at=clock.now + SECOND))
    job = worker.take_one()
    clock.advance(SECOND)
    assert engine.run(promote(QUEUE)).expired == 0
    assert state(engine) is JobState.ACTIVE

    engine.run(retried(job))
    clock.advance(BACKOFF)
    assert worker.take() == []
    assert state(engine) is JobState.FAILED
