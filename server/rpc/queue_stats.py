"""A queue, its workers and its health, as the contract shows them."""

from __future__ import annotations

from cabrank.v1 import admin_pb2 as pb

from server.admin.crew import Crew
from server.admin.health import Health, Issue, IssueKind, Overview
from server.admin.rules import Rules
from server.admin.waiting import Reason, ReasonKind
from server.engine.job import JobState
from server.engine.sweep import Retention
from server.rpc.times import duration, timestamp

# By name: a word that one of the two lacks stops the start.
_ISSUES = {kind: pb.HealthIssueKind.Value(f"HEALTH_ISSUE_KIND_{kind.name}") for kind in IssueKind}
_REASONS = {kind: pb.WaitReasonKind.Value(f"WAIT_REASON_KIND_{kind.name}") for kind in ReasonKind}


def queue_stats(queue: Overview) -> pb.QueueStats:
    stats, totals = queue.stats, queue.stats.totals
    shown = pb.QueueStats(
        name=queue.name,
        waiting=stats[JobState.WAITING],
        active=stats[JobState.ACTIVE],
        completed=stats[JobState.COMPLETED],
        failed=stats[JobState.FAILED],
        delayed=stats[JobState.DELAYED],
        cancelled=stats[JobState.CANCELLED],
        total=sum(stats.jobs.values()),
        stalled=stats.stalled,
        paused=stats.paused,
        oldest_waiting=None if stats.oldest_waiting is None else duration(stats.oldest_waiting),
        oldest_active=None if stats.oldest_active is None else duration(stats.oldest_active),
        workers=stats.workers,
        concurrency=queue.rules.concurrency,
        settings=_settings(queue.rules),
        enqueued_total=sum(totals.enqueued.values()),
        completed_total=totals.ended(JobState.COMPLETED),
        failed_total=totals.ended(JobState.FAILED),
        cancelled_total=totals.ended(JobState.CANCELLED),
        retried_total=sum(totals.retried.values()),
        removed_total=totals.removed,
    )
    if stats.pause:
        shown.pause_reason = stats.pause.reason
        shown.pause_time.CopyFrom(timestamp(stats.pause.since))
        if stats.pause.until:
            shown.resume_time.CopyFrom(timestamp(stats.pause.until))
    return shown


def health(found: Health) -> pb.GetHealthResponse:
    return pb.GetHealthResponse(
        healthy=found.healthy,
        issues=[str(issue) for issue in found.issues],
        stats={queue.name: queue_stats(queue) for queue in found.queues},
        details=[_issue(issue) for issue in found.issues],
    )


def wait_reason(reason: Reason) -> pb.WaitReason:
    return pb.WaitReason(
        kind=_REASONS[reason.kind],
        message=reason.message,
        until_time=timestamp(reason.until) if reason.until else None,
        ahead=reason.ahead,
    )


def worker(crew: Crew) -> pb.Worker:
    return pb.Worker(
        name=crew.name,
        queues=crew.queues,
        tasks=crew.tasks,
        threads=crew.threads,
        active=crew.active,
        start_time=timestamp(crew.started_at) if crew.started_at else None,
        seen_time=timestamp(crew.seen_at),
    )


def _settings(rules: Rules) -> pb.QueueSettings:
    limit = rules.rate_limit
    return pb.QueueSettings(
        concurrency=rules.concurrency,
        rate_limit=pb.RateLimit(count=limit.count, period=duration(limit.period)) if limit else None,
        completed_retention=_retention(rules.completed),
        failed_retention=_retention(rules.failed),
        health=pb.HealthThresholds(
            failed=rules.healthy_failed,
            waiting=rules.healthy_waiting,
            stalled=rules.healthy_stalled,
            workers=rules.needs_workers,
        ),
        updated=rules.updated,
    )


def _retention(retention: Retention) -> pb.Retention:
    return pb.Retention(age=duration(retention.age), count=retention.count)


def _issue(issue: Issue) -> pb.HealthIssue:
    return pb.HealthIssue(
        queue=issue.queue, kind=_ISSUES[issue.kind], observed=issue.observed, threshold=issue.threshold
    )
