"""A queue as it is answered: BullMQ's figures first, then ours."""

from __future__ import annotations

from typing import Annotated

from server.admin.health import Overview
from server.admin.rules import Rules
from server.engine import sweep, work
from server.engine.job import JobState
from server.engine.moments import milliseconds
from server.web.api.shape import Shape, ms_at, ms_of, says


class RateLimit(Shape, frozen=True):
    """At most so many jobs start within each period."""

    count: Annotated[int, says("How many may start.")]
    period_ms: Annotated[int, says("Within how many ms.")]

    @classmethod
    def of(cls, limit: work.RateLimit) -> RateLimit:
        return cls(count=limit.count, period_ms=milliseconds(limit.period))


class Retention(Shape, frozen=True):
    """Which ended jobs are kept: what is past either goes, the oldest first."""

    age_ms: Annotated[int, says("For so many ms.")]
    count: Annotated[int, says("So many of them.")]

    @classmethod
    def of(cls, retention: sweep.Retention) -> Retention:
        return cls(age_ms=milliseconds(retention.age), count=retention.count)


class Thresholds(Shape, frozen=True):
    """Up to where a queue counts as healthy."""

    failed: Annotated[int, says("So many failed jobs.")]
    waiting: Annotated[int, says("So many waiting jobs.")]
    stalled: Annotated[int, says("So many active jobs whose lease has run out.")]
    workers: Annotated[bool, says("Whether there must be a worker, where the queue has tasks or jobs.")]


class QueueSettings(Shape, frozen=True):
    """The settings of a queue that hold now."""

    rate_limit: Annotated[RateLimit | None, says("How many jobs may start; null when there is no limit.")]
    completed_retention: Annotated[Retention, says("How long completed and cancelled jobs are kept.")]
    failed_retention: Annotated[Retention, says("How long failed jobs are kept.")]
    health: Annotated[Thresholds, says("Up to where the queue counts as healthy.")]
    updated: Annotated[tuple[str, ...], says("Which of them operators have set; the others are from the environment.")]

    @classmethod
    def of(cls, rules: Rules) -> QueueSettings:
        return cls(
            rate_limit=RateLimit.of(rules.rate_limit) if rules.rate_limit else None,
            completed_retention=Retention.of(rules.completed),
            failed_retention=Retention.of(rules.failed),
            health=Thresholds(
                failed=rules.healthy_failed,
                waiting=rules.healthy_waiting,
                stalled=rules.healthy_stalled,
                workers=rules.needs_workers,
            ),
            updated=rules.updated,
        )


class QueueStats(Shape, frozen=True):
    """How a queue is doing."""

    name: Annotated[str, says("Its name.")]
    waiting: Annotated[int, says("Jobs that may start as soon as a worker is free.")]
    active: Annotated[int, says("Jobs that a worker holds.")]
    completed: Annotated[int, says("Jobs that are done, as far as they are kept.")]
    failed: Annotated[int, says("Jobs that were given up, as far as they are kept.")]
    delayed: Annotated[int, says("Jobs that start later.")]
    paused: Annotated[bool, says("Whether no job of it may start.")]
    total: Annotated[int, says("Jobs in all six states.")]
    cancelled: Annotated[int, says("Jobs that were taken back, as far as they are kept.")]
    stalled: Annotated[int, says("Of the active: those whose lease has run out.")]
    pause_reason: Annotated[str | None, says("Why it is paused; null unless somebody said so.")]
    paused_at: Annotated[int | None, says("Since when; null unless paused.")]
    resume_at: Annotated[int | None, says("When it goes on by itself; null when it does not.")]
    oldest_waiting_ms: Annotated[int | None, says("How long the job that waits longest has waited; null: none waits.")]
    oldest_active_ms: Annotated[int | None, says("How long the job that runs longest has run; null: none runs.")]
    workers: Annotated[int, says("Worker processes that take its jobs, heard of within the last 15 s.")]
    concurrency: Annotated[int, says("Jobs that may run at once, over all workers.")]
    settings: Annotated[QueueSettings, says("Its other settings.")]
    enqueued_total: Annotated[int, says("Jobs ever accepted. This figure and the next ones only rise.")]
    completed_total: Annotated[int, says("Jobs that ever completed.")]
    failed_total: Annotated[int, says("How often a job failed; one that was retried and failed again counts twice.")]
    cancelled_total: Annotated[int, says("Jobs that were ever cancelled.")]
    retried_total: Annotated[int, says("How often an operator retried a failed job.")]
    removed_total: Annotated[
        int, says("Jobs that are gone, removed by an operator or with the end of their retention.")
    ]

    @classmethod
    def of(cls, queue: Overview) -> QueueStats:
        stats, pause, totals = queue.stats, queue.stats.pause, queue.stats.totals
        return cls(
            name=queue.name,
            waiting=stats[JobState.WAITING],
            active=stats[JobState.ACTIVE],
            completed=stats[JobState.COMPLETED],
            failed=stats[JobState.FAILED],
            delayed=stats[JobState.DELAYED],
            paused=stats.paused,
            total=sum(stats.jobs.values()),
            cancelled=stats[JobState.CANCELLED],
            stalled=stats.stalled,
            pause_reason=(pause.reason or None) if pause else None,
            paused_at=ms_at(pause.since) if pause else None,
            resume_at=ms_at(pause.until) if pause else None,
            oldest_waiting_ms=ms_of(stats.oldest_waiting),
            oldest_active_ms=ms_of(stats.oldest_active),
            workers=stats.workers,
            concurrency=queue.rules.concurrency,
            settings=QueueSettings.of(queue.rules),
            enqueued_total=sum(totals.enqueued.values()),
            completed_total=totals.ended(JobState.COMPLETED),
            failed_total=totals.ended(JobState.FAILED),
            cancelled_total=totals.ended(JobState.CANCELLED),
            retried_total=sum(totals.retried.values()),
            removed_total=totals.removed,
        )
