"""From a job that was read to the answer that it is stored. Shared by every rpc that enqueues."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cabrank.v1 import job_pb2 as pb
from cabrank.v1.queue_pb2 import EnqueueResponse

from server.engine.admit import enqueue, find
from server.engine.async_engine import AsyncEngine
from server.engine.call import Call
from server.engine.commits import Commits
from server.engine.job import Job, NewJob
from server.engine.look import brief
from server.rpc.errors import items_named
from server.rpc.job import short, stored, whole

Look = Callable[[str, Sequence[str]], Call[list[Job]]]  # at those jobs of a queue that are known


class Admission:
    """Hands jobs to the engine. A new job is told without asking Redis a second time."""

    def __init__(self, engine: AsyncEngine, commits: Commits) -> None:
        self._engine = engine
        self._commits = commits

    async def one(self, job: NewJob) -> EnqueueResponse:
        """Raises what `enqueue` refuses."""
        (admitted,) = await self._admit(job.queue, [job], find, whole)
        return admitted

    async def all(self, queue: str, jobs: Sequence[NewJob]) -> list[EnqueueResponse]:
        """In one step, and told in short: many whole jobs would not fit into an answer. Raises ItemRefused."""
        with items_named():
            return await self._admit(queue, jobs, brief, short)

    async def _admit(
        self, queue: str, jobs: Sequence[NewJob], look: Look, shown: Callable[[Job], pb.Job]
    ) -> list[EnqueueResponse]:
        enqueued = await self._commits.run(enqueue(queue, jobs))
        told = {each.job_id: stored(job, each) for job, each in zip(jobs, enqueued, strict=True) if each.created}
        older = list({each.job_id: None for each in enqueued if each.job_id not in told})
        if older:
            told |= {job.id: job for job in await self._engine.run(look(queue, older))}
        return [
            # An idempotency key outlives its job: of one that is gone, only the name can be told.
            EnqueueResponse(
                job=shown(told[each.job_id]) if each.job_id in told else pb.Job(queue=queue, id=each.job_id),
                created=each.created,
            )
            for each in enqueued
        ]
