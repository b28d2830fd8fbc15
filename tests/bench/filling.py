"""Queues full of jobs, by the shortest way."""

from __future__ import annotations

from server.engine.admit import enqueue
from server.engine.engine import Engine
from server.engine.job import Failure, FailureReason, JobError, NewJob
from server.engine.work import FinalFailure, Run, fail, reserve
from tests.engine.hands import LEASE

_BATCH = 1000


def fill(engine: Engine, queue: str, jobs: int) -> list[str]:
    ids = [f"{queue}-{n:07d}" for n in range(jobs)]
    for at in range(0, jobs, _BATCH):
        engine.run(enqueue(queue, [job(queue, job_id) for job_id in ids[at : at + _BATCH]]))
    return ids


def fill_failed(engine: Engine, queue: str, jobs: int) -> None:
    error = JobError(type="Boom", message="it was to fail")
    why = Failure(reason=FailureReason.EXHAUSTED, message="1 attempt failed")
    for n in range(0, jobs, _BATCH):
        engine.run(enqueue(queue, [job(queue, f"failed-{n + i:07d}") for i in range(_BATCH)]))
        taken = engine.run(reserve(queue, worker="bench", number=n + 1, want=_BATCH, lease=LEASE)).jobs
        runs = [Run(lease=leased.lease, started_after=LEASE * 0) for leased in taken]
        engine.run(fail(queue, [FinalFailure(run=run, failure=why, error=error) for run in runs]))


def job(queue: str, job_id: str, *, priority: int = 0) -> NewJob:
    return NewJob(
        queue=queue, id=job_id, task=f"{queue}.job", priority=priority, payload=b'{"note": "%s"}' % (b"x" * 150)
    )
