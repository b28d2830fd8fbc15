"""retry: active -> delayed: the attempt failed and another one is left."""

from __future__ import annotations

from datetime import timedelta

import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobError, JobState
from server.engine.work import Retry, retry
from tests.conftest import Clock
from tests.engine.hands import BACKOFF, ERROR, QUEUE, Worker, look, new_job, put, retried, run_of, snoozed, state, woken


def test_a_failed_attempt_is_on_record_and_the_job_is_delayed(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    clock.advance(seconds=1)

    assert engine.run(retried(job)) == [True]

    found = look(engine)
    assert (found.state, found.run_at) == (JobState.DELAYED, clock.now + BACKOFF)
    assert (found.spent.failures, found.spent.lost) == (1, 0)
    (attempt,) = found.attempts
    assert (attempt.outcome, attempt.error, attempt.ended_at) == (AttemptOutcome.FAILED, ERROR, clock.now)


def test_a_timeout_is_on_record_as_one(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    run = run_of(worker.take_one())

    engine.run(retry(QUEUE, [Retry(run=run, delay=BACKOFF, error=ERROR, outcome=AttemptOutcome.TIMED_OUT)]))

    assert look(engine).attempts[0].outcome is AttemptOutcome.TIMED_OUT
    assert raw.hget(f"cabrank:{{{QUEUE}}}:totals", "attempts:timed_out:email.welcome") == b"1"


def test_the_next_attempt_has_the_failures_and_the_same_payload(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(payload=b'"code"', masked=b'"***"'))
    engine.run(retried(worker.take_one()))
    clock.advance(BACKOFF)

    job = worker.take_one()

    assert (job.attempt, job.spent.failures, job.payload) == (2, 1, b'"code"')


def test_a_retry_without_delay_is_lined_up_behind_the_others(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a", "b")
    engine.run(retried(worker.take_one(), delay=timedelta(0)))
    assert state(engine) is JobState.DELAYED

    clock.advance(milliseconds=1)
    assert [job.request.id for job in worker.take()] == ["b", "a"]


def test_a_job_that_was_asked_to_stop_is_cancelled_and_not_tried_again(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a", "no longer wanted"))

    assert engine.run(retried(job)) == [True]

    found = look(engine)
    assert (found.state, found.cancel_reason) == (JobState.CANCELLED, "no longer wanted")
    assert found.attempts[0].outcome is AttemptOutcome.FAILED


def test_a_retry_ends_a_row_of_snoozes(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Their ceiling is for one row: the next one begins anew."""
    put(engine, "a")
    engine.run(snoozed(worker.take_one()))
    clock.advance(BACKOFF)
    engine.run(retried(worker.take_one()))

    assert (look(engine).spent.snoozes, look(engine).spent.snoozed_since) == (1, None)


def test_whoever_waits_looks_again_at_what_is_due(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    woken(raw)

    engine.run(retried(worker.take_one()))

    assert woken(raw)


def test_an_error_comes_back_as_it_was(engine: Engine, worker: Worker) -> None:
    """Quotes, line breaks, and what looks like a record's own form."""
    put(engine, "a")
    texts = JobError(type='A"B', message='w1:1","lost",null]\n[1,"w1:1"', stack_trace="é\\\n\x00\u2028")

    engine.run(retry(QUEUE, [Retry(run=run_of(worker.take_one()), delay=BACKOFF, error=texts)]))

    assert look(engine).attempts[0].error == texts


def test_half_a_character_in_an_error_does_not_keep_the_attempt_from_ending(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    texts = JobError(type="OSError", message="no file \udcff", stack_trace="\ud800")

    engine.run(retry(QUEUE, [Retry(run=run_of(worker.take_one()), delay=BACKOFF, error=texts)]))

    assert look(engine).attempts[0].error == JobError(type="OSError", message="no file ?", stack_trace="?")
