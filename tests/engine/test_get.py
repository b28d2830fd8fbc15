"""get, find, brief and states: what is known of jobs. They change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from server.engine.admit import cancel, find, get, states
from server.engine.engine import Engine
from server.engine.errors import JobNotFound
from server.engine.job import Job, JobState
from server.engine.look import brief
from server.engine.work import note
from tests.conftest import Clock
from tests.engine.hands import (
    BACKOFF,
    ERROR,
    EXHAUSTED,
    PAYLOAD,
    QUEUE,
    Worker,
    completed,
    contents,
    failed,
    look,
    new_job,
    put,
    retried,
    state,
)


def test_get_knows_every_state(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    assert {job_id: look(engine, job_id).state for job_id in one_of_each} == one_of_each


def test_only_a_job_that_has_ended_has_an_end(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    for job_id, expected in one_of_each.items():
        job = look(engine, job_id)
        assert (job.ended_at is not None) == expected.terminal
        assert (job.lease_ends_at is not None) == (expected is JobState.ACTIVE)
        assert (job.run_at is not None) == (expected is JobState.DELAYED)


def test_a_job_is_a_value(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    job = look(engine, "active")

    assert isinstance(job, Job)
    assert job == look(engine, "active")
    assert (job.id, job.queue) == ("active", QUEUE)


@pytest.mark.parametrize("queue", [QUEUE, "sync"])
def test_an_unknown_job_is_not_found(engine: Engine, queue: str) -> None:
    put(engine, "b")

    with pytest.raises(JobNotFound, match=f"^queue {queue} has no job a$"):
        engine.run(get(queue, "a"))


def test_states_answers_in_the_order_asked(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    asked = ["nobody", *one_of_each, "failed"]

    assert engine.run(states(QUEUE, asked)) == [None, *one_of_each.values(), JobState.FAILED]
    assert engine.run(states(QUEUE, [])) == []


def test_find_knows_each_job_as_get_does(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    found = engine.run(find(QUEUE, ["nobody", *one_of_each]))

    assert found == [look(engine, job_id) for job_id in one_of_each]
    assert engine.run(find(QUEUE, [])) == []


def test_in_brief_a_job_is_told_without_what_may_be_large(engine: Engine, worker: Worker) -> None:
    put(engine, new_job(payload=b'"first line\\nsecond line"', labels={"tenant": "north"}))
    job = worker.take_one()
    engine.run(note(job.lease, progress=(50, "half"), line="half"))
    engine.run(completed(job, result=b'"a long story"'))

    (found,) = engine.run(brief(QUEUE, ["nobody", "a"]))

    whole = look(engine)
    assert whole.result
    assert whole.progress
    assert whole.logs
    assert found == replace(whole, request=replace(whole.request, payload=b""), result=None, progress=None, logs=())


def test_in_brief_it_has_the_newest_of_its_attempts_and_why_it_failed(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, "a")
    for _ in range(2):
        engine.run(retried(worker.take_one()))
        clock.advance(BACKOFF)
    engine.run(failed(worker.take_one()))

    (found,) = engine.run(brief(QUEUE, ["a"]))

    assert [(each.number, each.error) for each in found.attempts] == [(3, ERROR)]
    assert found.failure == EXHAUSTED


def test_in_brief_it_has_why_it_was_cancelled(engine: Engine, worker: Worker) -> None:
    put(engine, "active", "a")
    worker.take_one()
    for job_id in ("active", "a"):
        engine.run(cancel(QUEUE, job_id, "no longer wanted"))

    asked, ended = engine.run(brief(QUEUE, ["active", "a"]))

    assert asked.cancel_requested
    assert asked.cancel_reason == ended.cancel_reason == "no longer wanted"


def test_in_brief_a_running_job_has_its_attempt(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    worker.take_one()

    (found,) = engine.run(brief(QUEUE, ["a"]))

    assert [(each.number, each.worker, each.ended_at) for each in found.attempts] == [(1, "w1", None)]


@pytest.mark.parametrize("record", [b"", b"what a hand wrote", b"a b c\n\n", b"t x 1 0 0 - 0 f -\n[]\n{}", b"\xff\n\n"])
def test_a_record_that_was_written_over_hides_no_other_job(engine: Engine, raw: redis.Redis, record: bytes) -> None:
    put(engine, "a", "b")
    raw.hset(f"cabrank:{{{QUEUE}}}:jobs", "a", record)

    for found in (engine.run(brief(QUEUE, ["a", "b"])), engine.run(find(QUEUE, ["a", "b"]))):
        assert [(job.id, job.state, job.request.task) for job in found] == [
            ("a", JobState.WAITING, "unreadable"),
            ("b", JobState.WAITING, "email.welcome"),
        ]
    assert look(engine, "b").request.payload == PAYLOAD


def test_looking_changes_nothing(engine: Engine, one_of_each: dict[str, JobState], raw: redis.Redis) -> None:
    before = contents(raw)

    look(engine, "active")
    state(engine, "waiting")
    engine.run(find(QUEUE, [*one_of_each]))
    engine.run(brief(QUEUE, [*one_of_each]))

    assert contents(raw) == before
