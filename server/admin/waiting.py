"""Why a job is not running."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from server.admin.rules import Rules
from server.engine.job import Attempt, AttemptOutcome, JobState
from server.engine.look import Standing

_MOST_OF_AN_ERROR = 200  # characters


class ReasonKind(StrEnum):
    """What can keep a job from running."""

    PAUSED = "paused"
    DELAYED = "delayed"
    NO_WORKER = "no_worker"
    CONCURRENCY_LIMIT = "concurrency_limit"
    RATE_LIMIT = "rate_limit"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One of them, with a sentence for a person."""

    kind: ReasonKind
    message: str
    until: datetime | None = None  # None: nobody knows
    ahead: int = 0  # backlog: jobs before it


def reasons(job: Standing, rules: Rules, *, last: Attempt | None = None) -> list[Reason]:
    """All that apply, the one to deal with first in front; none for a job that runs or has ended.

    `last`: its newest attempt, if it has had one.
    """
    if job.state is JobState.WAITING:
        return [*_pause(job), *_no_worker(job), *_concurrency(job, rules), *_rate(job, rules), _backlog(job)]
    if job.state is JobState.DELAYED and _overdue(job):
        return [*_pause(job), *_no_worker(job), *_concurrency(job, rules), *_rate(job, rules), _due(job)]
    if job.state is JobState.DELAYED:
        return [*sorted([_delay(job, last), *_pause(job)], key=_end, reverse=True), *_no_worker(job)]
    return []


def _overdue(job: Standing) -> bool:
    """Workers line up what is due: a moment after it is, unless there are none."""
    return job.due is not None and job.due <= job.at


def _end(reason: Reason) -> datetime:
    """What holds longer binds; a pause without an end outlasts any delay."""
    return reason.until or datetime.max.replace(tzinfo=UTC)


def _pause(job: Standing) -> Iterator[Reason]:
    if job.pause is not None:
        why = f": {job.pause.reason}" if job.pause.reason else ""
        yield Reason(kind=ReasonKind.PAUSED, message=f"the queue is paused{why}", until=job.pause.until)


def _due(job: Standing) -> Reason:
    return Reason(kind=ReasonKind.DELAYED, message="it is due: the next look of a worker lines it up", until=job.due)


def _delay(job: Standing, last: Attempt | None) -> Reason:
    why = "it was enqueued for later"
    if last is not None and last.error is not None:
        did = "put it off" if last.outcome is AttemptOutcome.SNOOZED else "failed"
        why = f"attempt {last.number} {did}: {last.error.message[:_MOST_OF_AN_ERROR]}"
    return Reason(kind=ReasonKind.DELAYED, message=f"it is not due yet: {why}", until=job.due)


def _no_worker(job: Standing) -> Iterator[Reason]:
    # One that has not introduced itself yet may know the task.
    if not any(worker.crew is None or job.task in worker.crew.tasks for worker in job.workers):
        found = f"no worker of the queue knows task {job.task}" if job.workers else "the queue has no workers"
        yield Reason(kind=ReasonKind.NO_WORKER, message=found)


def _concurrency(job: Standing, rules: Rules) -> Iterator[Reason]:
    if job.active >= rules.concurrency:
        message = f"as many jobs of the queue run as may: {job.active} of {rules.concurrency}"
        yield Reason(kind=ReasonKind.CONCURRENCY_LIMIT, message=message)


def _rate(job: Standing, rules: Rules) -> Iterator[Reason]:
    limit = rules.rate_limit
    if limit is not None and job.starts >= limit.count and job.oldest_start is not None:
        seconds = limit.period.total_seconds()
        yield Reason(
            kind=ReasonKind.RATE_LIMIT,
            message=f"as many jobs of the queue have started within {seconds:g} s as may: {limit.count}",
            # With more than that, because the limit was lowered, the end of the oldest makes no room.
            until=job.oldest_start + limit.period if job.starts == limit.count else None,
        )


def _backlog(job: Standing) -> Reason:
    before = {0: "it is the next in line", 1: "1 job is before it"}.get(job.ahead, f"{job.ahead} jobs are before it")
    return Reason(kind=ReasonKind.BACKLOG, message=before, ahead=job.ahead)
