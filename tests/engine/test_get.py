"""get, states and counts: what is known of jobs. They change nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.admit import get, states
from server.engine.engine import Engine
from server.engine.errors import JobNotFound
from server.engine.job import Job, JobState
from server.engine.steer import counts, pause
from tests.engine.hands import QUEUE, SETTLEMENTS, Worker, contents, look, new_job, put, state

ENDS = {"complete": JobState.COMPLETED, "fail": JobState.FAILED, "stop": JobState.CANCELLED}


@pytest.fixture
def one_of_each(engine: Engine, worker: Worker) -> dict[str, JobState]:
    """A job in every state, named after it."""
    put(engine, new_job("delayed", delay=timedelta(days=1)), "active", *ENDS.values(), "waiting")
    jobs = worker.take(4)
    for job, name in zip(jobs[1:], ENDS, strict=True):
        engine.run(SETTLEMENTS[name](job))
    return {state.value: state for state in JobState}


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


def test_counts_counts_every_state(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    found = engine.run(counts(QUEUE))

    assert found.jobs == dict.fromkeys(JobState, 1)
    assert (found[JobState.WAITING], found.paused) == (1, False)


def test_counts_of_an_unknown_queue_are_nothing(engine: Engine) -> None:
    assert set(engine.run(counts("nobody")).jobs.values()) == {0}


def test_looking_changes_nothing(engine: Engine, one_of_each: dict[str, JobState], raw: redis.Redis) -> None:
    engine.run(pause(QUEUE))
    before = contents(raw)

    look(engine, "active")
    state(engine, "waiting")
    assert engine.run(counts(QUEUE)).paused

    assert contents(raw) == before
