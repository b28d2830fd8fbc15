from __future__ import annotations

from datetime import timedelta

import pytest

from server.engine.engine import Engine
from server.engine.job import JobState
from tests.engine.hands import SETTLEMENTS, Worker, new_job, put

ENDS = {"complete": JobState.COMPLETED, "fail": JobState.FAILED, "stop": JobState.CANCELLED}


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine)


@pytest.fixture
def other_worker(engine: Engine) -> Worker:
    return Worker(engine, name="w2")


@pytest.fixture
def one_of_each(engine: Engine, worker: Worker) -> dict[str, JobState]:
    """A job in every state, named after it."""
    put(engine, new_job("delayed", delay=timedelta(days=1)), "active", *ENDS.values(), "waiting")
    jobs = worker.take(4)
    for job, name in zip(jobs[1:], ENDS, strict=True):
        engine.run(SETTLEMENTS[name](job))
    return {state.value: state for state in JobState}
