"""AdminService: seeing and steering queues."""

from __future__ import annotations

from cabrank.v1 import admin_pb2 as pb
from cabrank.v1.admin_pb2_grpc import AdminServiceServicer

from server.admin import Admin
from server.admin.bulk import NOT_STARTED
from server.engine.job import JobState
from server.rpc import orders
from server.rpc.intake import Intake, named
from server.rpc.job import listed, whole
from server.rpc.queue_stats import health, queue_stats, wait_reason, worker
from server.rpc.reception import USUAL_SECONDS, Context
from server.rpc.times import moment
from server.rpc.wait import before_deadline

_LONGEST_SECONDS = 60.0  # that a call may work or wait, however far its deadline is


class AdminServicer(AdminServiceServicer):
    """Values in, the admin room, values out. What is refused on the way is raised, and told by Reception."""

    def __init__(self, admin: Admin, intake: Intake) -> None:
        self._admin = admin
        self._intake = intake

    async def GetHealth(self, _request: pb.GetHealthRequest, _context: Context) -> pb.GetHealthResponse:
        return health(await self._admin.queues.health())

    async def ListQueues(self, _request: pb.ListQueuesRequest, _context: Context) -> pb.ListQueuesResponse:
        return pb.ListQueuesResponse(queues=map(queue_stats, await self._admin.queues.all()))

    async def GetQueue(self, request: pb.GetQueueRequest, _context: Context) -> pb.GetQueueResponse:
        return pb.GetQueueResponse(queue=queue_stats(await self._admin.queues.one(named(request))))

    async def ListJobs(self, request: pb.ListJobsRequest, _context: Context) -> pb.ListJobsResponse:
        page = await self._admin.jobs.page(orders.listing(request), token=request.page_token)
        return pb.ListJobsResponse(jobs=map(listed, page.jobs), next_page_token=page.next_token, total=page.total)

    async def GetJob(self, request: pb.AdminServiceGetJobRequest, _context: Context) -> pb.AdminServiceGetJobResponse:
        queue, job_id = self._intake.name(request)
        job = await self._admin.jobs.one(queue, job_id)
        reasons = await self._admin.jobs.explain(job) if request.explain else []
        return pb.AdminServiceGetJobResponse(job=whole(job), wait_reasons=map(wait_reason, reasons))

    async def RetryJob(self, request: pb.RetryJobRequest, _context: Context) -> pb.RetryJobResponse:
        return pb.RetryJobResponse(job=whole(await self._admin.jobs.retry(*self._intake.name(request))))

    async def RetryFailedJobs(self, request: pb.RetryFailedJobsRequest, context: Context) -> pb.RetryFailedJobsResponse:
        outcome = await self._admin.bulk.retry_failed(
            named(request), orders.selection(request), task=orders.task(request), seconds=_seconds(context)
        )
        return pb.RetryFailedJobsResponse(done=outcome.done, skipped=outcome.skipped, remaining=outcome.remaining)

    async def RemoveJob(self, request: pb.RemoveJobRequest, _context: Context) -> pb.RemoveJobResponse:
        await self._admin.jobs.remove(*self._intake.name(request))
        return pb.RemoveJobResponse()

    async def PromoteJob(self, request: pb.PromoteJobRequest, _context: Context) -> pb.PromoteJobResponse:
        return pb.PromoteJobResponse(job=whole(await self._admin.jobs.promote(*self._intake.name(request))))

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Context) -> pb.PauseQueueResponse:
        until = moment(request, "resume_time")
        paused = await self._admin.queues.pause(named(request), request.reason, until=until, seconds=_seconds(context))
        return pb.PauseQueueResponse(queue=queue_stats(paused.queue), unconfirmed=paused.unconfirmed)

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, _context: Context) -> pb.ResumeQueueResponse:
        return pb.ResumeQueueResponse(queue=queue_stats(await self._admin.queues.resume(named(request))))

    async def CleanQueue(self, request: pb.CleanQueueRequest, context: Context) -> pb.CleanQueueResponse:
        outcome = await self._admin.bulk.clean(
            named(request),
            orders.selection(request),
            state=orders.state(request.state, absent=JobState.COMPLETED),
            seconds=_seconds(context),
        )
        return pb.CleanQueueResponse(done=outcome.done, remaining=outcome.remaining)

    async def PurgeQueue(self, request: pb.PurgeQueueRequest, context: Context) -> pb.PurgeQueueResponse:
        states = [orders.state(request.state)] if request.state else NOT_STARTED
        outcome = await self._admin.bulk.purge(
            named(request), orders.selection(request), states=states, seconds=_seconds(context)
        )
        return pb.PurgeQueueResponse(done=outcome.done, remaining=outcome.remaining)

    async def UpdateQueue(self, request: pb.UpdateQueueRequest, _context: Context) -> pb.UpdateQueueResponse:
        queue = await self._admin.queues.update(named(request), orders.overrides(request), reset=list(request.reset))
        return pb.UpdateQueueResponse(queue=queue_stats(queue))

    async def ListWorkers(self, request: pb.ListWorkersRequest, _context: Context) -> pb.ListWorkersResponse:
        return pb.ListWorkersResponse(workers=map(worker, await self._admin.crews.all(request.queue)))


def _seconds(context: Context) -> float:
    """How long the call may take, so that its answer comes before its deadline."""
    left = context.time_remaining()
    return min(_LONGEST_SECONDS, before_deadline(USUAL_SECONDS if left is None else left))
