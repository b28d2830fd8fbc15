"""fail: active -> failed."""

from __future__ import annotations

import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, Failure, FailureReason, JobState
from server.engine.work import FinalFailure, fail
from tests.conftest import Clock
from tests.engine.hands import ERROR, EXHAUSTED, QUEUE, Worker, failed, look, put, run_of, state


def test_a_failed_job_tells_why(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    clock.advance(seconds=1)

    assert engine.run(failed(job)) == [True]

    found = look(engine)
    assert (found.state, found.ended_at, found.failure) == (JobState.FAILED, clock.now, EXHAUSTED)
    assert (found.spent.failures, found.result) == (1, None)
    assert (found.attempts[0].outcome, found.attempts[0].error) == (AttemptOutcome.FAILED, ERROR)


def test_each_of_many_has_its_own_reason(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a", "b")
    a, b = worker.take(2)
    other = Failure(reason=FailureReason.PERMANENT, message="no such mailbox\n\udcff")

    engine.run(
        fail(
            QUEUE,
            [
                FinalFailure(run=run_of(a), failure=EXHAUSTED, error=ERROR, outcome=AttemptOutcome.TIMED_OUT),
                FinalFailure(run=run_of(b), failure=other, error=ERROR),
            ],
        )
    )

    assert look(engine, "a").failure == EXHAUSTED
    assert look(engine, "b").failure == Failure(reason=FailureReason.PERMANENT, message="no such mailbox\n?")
    totals = raw.hgetall(f"cabrank:{{{QUEUE}}}:totals")
    assert totals[b"finished:failed:email.welcome"] == b"2"
    assert totals[b"attempts:timed_out:email.welcome"] == totals[b"attempts:failed:email.welcome"] == b"1"


def test_a_job_that_failed_for_good_has_failed_although_a_stop_was_asked_for(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a"))

    engine.run(failed(job))

    assert state(engine) is JobState.FAILED
