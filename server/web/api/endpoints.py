"""The eleven paths of the BullMQ guide. Their docstrings are what the description of the interface says."""

from __future__ import annotations

from server.admin import Admin
from server.catalog import TaskNotFound
from server.engine.errors import BackendFull, JobInState, JobNotFound, SecretsErased, UniqueConflict
from server.web.api.answers import (
    Answer,
    Cleaned,
    Health,
    HealthAnswer,
    Page,
    PausedQueue,
    RemovedJob,
    Retried,
)
from server.web.api.asks import CleanAsk, JobAt, ListAsk, Nothing, PauseAsk, QueueAt, RetryAsk
from server.web.api.endpoint import Endpoint
from server.web.api.job import Job
from server.web.api.queue import QueueStats

_SECONDS = 25.0  # that a request may work or wait: proxies and scripts give up after 30


async def get_health(admin: Admin, _at: Nothing, _asked: Nothing) -> HealthAnswer:
    """Judge every queue by its own thresholds.

    The status is 200 whatever the judgement: whether this process can take jobs is told by /readyz.
    """
    health = Health.of(await admin.queues.health())
    return HealthAnswer(
        message="; ".join(health.issues) or "All queues are healthy",
        data=health,
        healthy=health.healthy,
        issues=health.issues,
        stats=health.stats,
    )


async def list_queues(admin: Admin, _at: Nothing, _asked: Nothing) -> Answer[dict[str, QueueStats]]:
    """Tell how every queue is doing, by name."""
    stats = {queue.name: QueueStats.of(queue) for queue in await admin.queues.all()}
    return Answer(message="Queue statistics retrieved successfully", data=stats)


async def get_queue(admin: Admin, at: QueueAt, _asked: Nothing) -> Answer[QueueStats]:
    """Tell how one queue is doing."""
    stats = QueueStats.of(await admin.queues.one(at.name))
    return Answer(message="Queue statistics retrieved successfully", data=stats)


async def list_jobs(admin: Admin, at: QueueAt, asked: ListAsk) -> Answer[Page]:
    """List the jobs of one state, page by page.

    A job that stays in that state is listed exactly once, whatever comes and goes meanwhile. Jobs are listed without
    payload, logs, result and stack traces, and with the newest of their attempts.
    """
    listing = asked.listing(at.name)
    page = Page.of(listing, await admin.jobs.page(listing, token=asked.page_token))
    return Answer(message=f"{len(page.jobs)} of {page.total} {page.status} jobs", data=page)


async def get_job(admin: Admin, at: JobAt, _asked: Nothing) -> Answer[Job]:
    """Tell all that is known of one job, and why it is not running."""
    job = await admin.jobs.one(at.name, at.id)
    reasons = await admin.jobs.explain(job)
    return Answer(message=f"Job {at.id} retrieved successfully", data=Job.told(job, reasons))


async def retry_job(admin: Admin, at: JobAt, _asked: Nothing) -> Answer[Job]:
    """Give a failed job all its attempts anew.

    It keeps its id, priority, age and the attempts on record, and stands at the end of its line. Repeated, it is
    refused with JOB_STATE, unless the job has failed again.
    """
    job = await admin.jobs.retry(at.name, at.id)
    return Answer(message=f"Job {at.id} was put in line again", data=Job.told(job, ()))


async def remove_job(admin: Admin, at: JobAt, _asked: Nothing) -> Answer[RemovedJob]:
    """Remove a job, unless it is active, and all that is known of it."""
    await admin.jobs.remove(at.name, at.id)
    return Answer(message=f"Job {at.id} removed", data=RemovedJob(queue=at.name, id=at.id))


async def pause_queue(admin: Admin, at: QueueAt, asked: PauseAsk) -> Answer[PausedQueue]:
    """Let no job of the queue start any more.

    Enqueueing goes on, and so do jobs that run. Answers when the workers have handed back what they had taken and not
    started, at the latest after 25 s. May be repeated: a reason and an end that are not given again stay.
    """
    paused = await admin.queues.pause(at.name, asked.reason, until=asked.until, seconds=_SECONDS)
    return Answer(message=f"Queue {at.name} paused", data=PausedQueue.told(paused))


async def resume_queue(admin: Admin, at: QueueAt, _asked: Nothing) -> Answer[QueueStats]:
    """End a pause at once. May be repeated."""
    return Answer(message=f"Queue {at.name} resumed", data=QueueStats.of(await admin.queues.resume(at.name)))


async def clean_queue(admin: Admin, at: QueueAt, asked: CleanAsk) -> Answer[Cleaned]:
    """Remove jobs of one state, the oldest first; without a body all completed ones.

    Works in steps so small that nobody waits for them, for at most 25 s. May be repeated: it goes on with what remains.
    """
    bulk = admin.bulk.clean if asked.state.terminal else admin.bulk.purge
    states = {"state": asked.state} if asked.state.terminal else {"states": [asked.state]}
    outcome = await bulk(at.name, asked.which, seconds=_SECONDS, **states)
    verb = "that would be removed" if asked.dry_run else "removed"
    return Answer(message=f"{asked.status} jobs {verb}: {outcome.done}", data=Cleaned.of(outcome))


async def retry_failed_jobs(admin: Admin, at: QueueAt, asked: RetryAsk) -> Answer[Retried]:
    """Retry all failed jobs, those that ended first first.

    Only those that had failed before the request. Works in steps so small that nobody waits for them, for at most 25 s.
    May be repeated: it goes on with what remains.
    """
    outcome = await admin.bulk.retry_failed(at.name, asked.which, task=asked.task, seconds=_SECONDS)
    verb = "would wait again" if asked.dry_run else "wait again"
    skipped = f"; that cannot be retried: {outcome.skipped}" if outcome.skipped else ""
    return Answer(message=f"failed jobs that {verb}: {outcome.done}{skipped}", data=Retried.of(outcome))


ENDPOINTS = (
    Endpoint(method="GET", path="/health", handler=get_health),
    Endpoint(method="GET", path="/stats", handler=list_queues),
    Endpoint(method="GET", path="/{name}/stats", handler=get_queue),
    Endpoint(method="GET", path="/{name}/jobs", handler=list_jobs, refuses=(TaskNotFound,)),
    Endpoint(method="GET", path="/{name}/job/{id}", handler=get_job, refuses=(JobNotFound,)),
    Endpoint(
        method="POST",
        path="/{name}/job/{id}/retry",
        handler=retry_job,
        refuses=(JobNotFound, JobInState, SecretsErased, UniqueConflict, BackendFull),
    ),
    Endpoint(method="DELETE", path="/{name}/job/{id}", handler=remove_job, refuses=(JobNotFound, JobInState)),
    Endpoint(method="POST", path="/{name}/pause", handler=pause_queue),
    Endpoint(method="POST", path="/{name}/resume", handler=resume_queue),
    Endpoint(method="POST", path="/{name}/clean", handler=clean_queue),
    Endpoint(
        method="POST",
        path="/{name}/jobs/retry-failed",
        handler=retry_failed_jobs,
        refuses=(TaskNotFound, BackendFull),
    ),
)
