"""complete: active -> completed."""

from __future__ import annotations

from datetime import timedelta

import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobState, Unique
from server.engine.work import Completion, complete
from tests.conftest import Clock
from tests.engine.hands import (
    QUEUE,
    RAN_FOR,
    Worker,
    completed,
    contents,
    look,
    new_job,
    put,
    retried,
    run_of,
    state,
    woken,
)


def test_a_completed_job_has_its_end_its_attempt_and_its_result(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    reserved_at = clock.now
    job = worker.take_one()
    clock.advance(seconds=3)

    assert engine.run(completed(job, result=b'{"mail": [1, {}]}')) == [True]

    found = look(engine)
    assert (found.state, found.ended_at, found.result) == (JobState.COMPLETED, clock.now, b'{"mail": [1, {}]}')
    (attempt,) = found.attempts
    assert (attempt.number, attempt.worker, attempt.outcome) == (1, "w1", AttemptOutcome.COMPLETED)
    assert (attempt.started_at, attempt.ended_at, attempt.error) == (reserved_at + RAN_FOR, clock.now, None)


def test_a_completed_job_lets_go_of_its_unique_key_and_its_expiry(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, new_job(unique=Unique(key="course-5"), expires_at=clock.now + timedelta(hours=1)))

    engine.run(completed(worker.take_one()))

    assert {key.rpartition(":")[2] for key in contents(raw)}.isdisjoint({"claims", "expiring"})


def test_a_result_is_optional(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    engine.run(completed(worker.take_one()))

    assert look(engine).result is None


def test_many_jobs_are_completed_in_one_call_and_each_is_answered(engine: Engine, worker: Worker) -> None:
    put(engine, *(f"j{n}" for n in range(300)))
    jobs = worker.take(300)
    engine.run(completed(jobs[7]))
    put(engine, "again")

    answers = engine.run(complete(QUEUE, [Completion(run=run_of(job), result=job.payload) for job in jobs]))

    assert answers == [True] * 300  # the seventh because it was completed under this very token
    assert {state(engine, job.request.id) for job in jobs} == {JobState.COMPLETED}


def test_the_same_job_twice_in_one_call_is_completed_once(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    job = worker.take_one()

    assert engine.run(completed(job, job)) == [True, True]

    assert len(look(engine).attempts) == 1
    assert raw.hget(f"cabrank:{{{QUEUE}}}:totals", "finished:completed:email.welcome") == b"1"


def test_work_that_was_done_counts_although_a_stop_was_asked_for(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a"))

    assert engine.run(completed(job)) == [True]

    assert state(engine) is JobState.COMPLETED
    assert not look(engine).cancel_requested


def test_a_free_place_wakes_a_worker_where_jobs_wait(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a", "b")
    job = worker.take_one()
    woken(raw)

    engine.run(completed(job))
    assert woken(raw)
    engine.run(completed(worker.take_one()))
    assert not woken(raw)


def test_only_the_last_twenty_attempts_are_kept(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(max_attempts=100))
    for _ in range(24):
        engine.run(retried(worker.take_one(), delay=timedelta(milliseconds=1)))
        clock.advance(milliseconds=1)
    engine.run(completed(worker.take_one()))

    attempts = look(engine).attempts
    assert [attempt.number for attempt in attempts] == list(range(6, 26))
    assert attempts[-1].outcome is AttemptOutcome.COMPLETED
