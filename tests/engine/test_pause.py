"""pause and resume: a flag of a queue, never a state of a job."""

from __future__ import annotations

from datetime import timedelta

import redis

from server.engine.engine import Engine
from server.engine.job import JobState
from server.engine.steer import counts, pause, resume
from server.engine.work import Found
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, completed, new_job, put, retried, state, woken


def test_what_runs_goes_on_while_its_queue_is_paused(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(pause(QUEUE))

    assert engine.run(completed(job)) == [True]
    assert state(engine) is JobState.COMPLETED


def test_a_paused_queue_takes_jobs_and_lines_up_what_is_due(engine: Engine, clock: Clock, worker: Worker) -> None:
    engine.run(pause(QUEUE))
    put(engine, "a", new_job("b", delay=timedelta(seconds=1)))
    clock.advance(seconds=1)

    assert worker.reserve().found is Found.PAUSE
    assert engine.run(counts(QUEUE))[JobState.WAITING] == 2


def test_a_failed_attempt_is_not_tried_again_before_the_queue_is_resumed(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(pause(QUEUE))
    engine.run(retried(job))
    clock.advance(seconds=2)
    assert worker.take() == []

    engine.run(resume(QUEUE))
    assert worker.take_one().attempt == 2


def test_the_first_pause_stands(engine: Engine, clock: Clock, raw: redis.Redis) -> None:
    engine.run(pause(QUEUE))
    since = raw.hget(f"cabrank:{{{QUEUE}}}:meta", "paused")
    clock.advance(seconds=1)

    engine.run(pause(QUEUE))

    assert raw.hget(f"cabrank:{{{QUEUE}}}:meta", "paused") == since
    assert engine.run(counts(QUEUE)).paused


def test_resume_wakes_a_worker(engine: Engine, raw: redis.Redis) -> None:
    engine.run(pause(QUEUE))
    put(engine, "a")
    woken(raw)

    engine.run(resume(QUEUE))

    assert woken(raw)
    assert not engine.run(counts(QUEUE)).paused
