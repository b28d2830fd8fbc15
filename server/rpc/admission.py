"""From a job that was read to the answer that it is stored. Shared by every rpc that enqueues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cabrank.v1 import job_pb2 as pb
from cabrank.v1.queue_pb2 import EnqueueResponse

from server.engine.admit import enqueue, get
from server.engine.engine import AsyncEngine
from server.engine.errors import JobNotFound
from server.engine.job import Job, NewJob
from server.rpc.commits import Commits
from server.rpc.errors import items_named
from server.rpc.job import short, stored, whole


class Admission:
    """Hands jobs to the engine. A new job is told without asking Redis a second time."""

    def __init__(self, engine: AsyncEngine, commits: Commits) -> None:
        self._engine = engine
        self._commits = commits

    async def one(self, job: NewJob) -> EnqueueResponse:
        """Raises what `enqueue` refuses."""
        (admitted,) = await self._admit(job.queue, [job], whole)
        return admitted

    async def all(self, queue: str, jobs: Sequence[NewJob]) -> list[EnqueueResponse]:
        """In one step, and told in short: many whole jobs would not fit into an answer. Raises ItemRefused."""
        with items_named():
            return await self._admit(queue, jobs, short)

    async def _admit(self, queue: str, jobs: Sequence[NewJob], shown: Callable[[Job], pb.Job]) -> list[EnqueueResponse]:
        enqueued = await self._commits.run(enqueue(queue, jobs))
        told = {each.job_id: stored(job, each) for job, each in zip(jobs, enqueued, strict=True) if each.created}
        told |= await self._found(queue, {each.job_id for each in enqueued} - told.keys())
        return [
            # An idempotency key outlives its job: of one that is gone, only the name can be told.
            EnqueueResponse(
                job=shown(told[each.job_id]) if each.job_id in told else pb.Job(queue=queue, id=each.job_id),
                created=each.created,
            )
            for each in enqueued
        ]

    async def _found(self, queue: str, job_ids: set[str]) -> dict[str, Job]:
        found = await asyncio.gather(*(self._job(queue, job_id) for job_id in job_ids))
        return {job.id: job for job in found if job}

    async def _job(self, queue: str, job_id: str) -> Job | None:
        try:
            return await self._engine.run(get(queue, job_id))
        except JobNotFound:
            return None
