"""snooze: active -> delayed, and no attempt is spent."""

from __future__ import annotations

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobState
from tests.conftest import Clock
from tests.engine.hands import BACKOFF, ERROR, QUEUE, Worker, look, new_job, put, snoozed


def test_a_snoozed_job_is_delayed_and_to_blame_for_nothing(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")

    assert engine.run(snoozed(worker.take_one())) == [True]

    found = look(engine)
    assert (found.state, found.run_at) == (JobState.DELAYED, clock.now + BACKOFF)
    assert (found.spent.failures, found.spent.snoozes, found.spent.snoozed_since) == (0, 1, clock.now)
    assert (found.attempts[0].outcome, found.attempts[0].error) == (AttemptOutcome.SNOOZED, ERROR)


def test_a_snoozed_attempt_comes_again_under_its_number(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    first = clock.now
    for _ in range(3):
        job = worker.take_one()
        assert job.attempt == 1
        engine.run(snoozed(job))
        clock.advance(BACKOFF)

    spent = look(engine).spent
    assert (spent.snoozes, spent.snoozed_since) == (3, first)


def test_a_job_that_was_asked_to_stop_is_cancelled_and_not_put_off(engine: Engine, worker: Worker) -> None:
    put(engine, new_job(payload=b'"s"', masked=b'"*"'))
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a", "no longer wanted"))

    assert engine.run(snoozed(job)) == [True]

    assert (look(engine).state, look(engine).cancel_reason) == (JobState.CANCELLED, "no longer wanted")
