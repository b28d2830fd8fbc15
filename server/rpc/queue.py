"""QueueService: handing jobs over and learning what became of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from cabrank.v1 import queue_pb2 as pb
from cabrank.v1.queue_pb2_grpc import QueueServiceServicer

from server.engine.admit import cancel, get
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.mend import hasten
from server.rpc.admission import Admission
from server.rpc.intake import Intake
from server.rpc.job import whole
from server.rpc.reception import Context
from server.rpc.times import span
from server.rpc.wait import Waits, before_deadline, patience
from server.rpc.wanted import Wanted
from server.rpc.watch import Watches


class QueueServicer(QueueServiceServicer):
    """Values in, the engine, values out. What is refused on the way is raised, and told by Reception."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        intake: Intake,
        admission: Admission,
        commits: Commits,
        waits: Waits,
        watches: Watches,
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._admission = admission
        self._commits = commits
        self._waits = waits
        self._watches = watches

    async def Enqueue(self, request: pb.EnqueueRequest, _context: Context) -> pb.EnqueueResponse:
        return await self._admission.one(self._intake.job(request))

    async def EnqueueBatch(self, request: pb.EnqueueBatchRequest, _context: Context) -> pb.EnqueueBatchResponse:
        queue, jobs = self._intake.batch(request)
        return pb.EnqueueBatchResponse(results=await self._admission.all(queue, jobs))

    async def GetJob(self, request: pb.GetJobRequest, _context: Context) -> pb.GetJobResponse:
        queue, job_id = self._intake.name(request)
        job = await self._engine.run(get(queue, job_id))
        return pb.GetJobResponse(job=whole(job))

    async def WaitJob(self, request: pb.WaitJobRequest, context: Context) -> pb.WaitJobResponse:
        queue, job_id = self._intake.name(request)
        seconds = patience(span(request, "timeout", None), left=context.time_remaining())
        await self._waits.ended(queue, job_id, seconds=seconds)
        job = await self._engine.run(get(queue, job_id))
        return pb.WaitJobResponse(job=whole(job), done=job.state.terminal)

    async def CancelJob(self, request: pb.CancelJobRequest, _context: Context) -> pb.CancelJobResponse:
        queue, job_id, reason = self._intake.cancellation(request)
        await self._commits.run(cancel(queue, job_id, reason))
        job = await self._engine.run(get(queue, job_id))
        return pb.CancelJobResponse(job=whole(job))

    async def SignalJob(self, request: pb.SignalJobRequest, _context: Context) -> pb.SignalJobResponse:
        queue, job_id = self._intake.name(request)
        await self._commits.run(hasten(queue, job_id, active=True))
        job = await self._engine.run(get(queue, job_id))
        return pb.SignalJobResponse(job=whole(job))

    def WatchJobs(self, request: pb.WatchJobsRequest, context: Context) -> AsyncGenerator[pb.WatchJobsResponse, None]:
        left = context.time_remaining()
        seconds = None if left is None else before_deadline(left)
        return self._watches.follow(self._intake.queue(request), request.cursor, Wanted.read(request), seconds=seconds)
