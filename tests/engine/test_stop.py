"""stop: active -> cancelled: the worker has stopped the job."""

from __future__ import annotations

import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobState
from server.engine.work import Run, stop
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, look, put, stopped


def test_a_stopped_job_is_cancelled_for_the_reason_that_was_given(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a", "no longer wanted"))
    clock.advance(seconds=1)

    assert engine.run(stopped(job)) == [True]

    found = look(engine)
    assert (found.state, found.ended_at) == (JobState.CANCELLED, clock.now)
    assert (found.cancel_reason, found.attempts[0].outcome) == ("no longer wanted", AttemptOutcome.CANCELLED)
    assert raw.hget(f"cabrank:{{{QUEUE}}}:totals", "finished:cancelled:email.welcome") == b"1"


def test_a_job_that_never_started_leaves_no_attempt(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    run = Run(lease=worker.take_one().lease, started_after=None)
    engine.run(cancel(QUEUE, "a"))

    assert engine.run(stop(QUEUE, [run])) == [True]
    assert (look(engine).state, look(engine).attempts) == (JobState.CANCELLED, ())

    assert engine.run(stop(QUEUE, [run])) == [True]
    assert look(engine).attempts == ()


def test_a_job_can_be_stopped_without_having_been_asked(engine: Engine, worker: Worker) -> None:
    put(engine, "a")

    engine.run(stopped(worker.take_one()))

    assert (look(engine).state, look(engine).cancel_reason) == (JobState.CANCELLED, None)
