"""A job as it is answered: under BullMQ's names, and what else there is to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Raw
from msgspec.structs import asdict

from server.admin.waiting import Reason, ReasonKind
from server.engine import backoff, job
from server.engine.backoff import BackoffKind
from server.engine.job import FailureReason, JobState
from server.engine.moments import epoch_ms, milliseconds
from server.web.api.attempt import Attempt, LogLine
from server.web.api.shape import Shape, ms_at, ms_of, says


class Backoff(Shape, frozen=True):
    """The waits between the attempts of a job."""

    type: Annotated[BackoffKind, says("How the wait grows.")]
    delay: Annotated[int, says("The wait after the first failure, in ms.")]
    max: Annotated[int, says("No wait is longer, in ms.")]
    multiplier: Annotated[float, says("exponential: each wait is the one before times this.")]
    jitter: Annotated[float, says("The part of each wait that is left to chance: 0 (none) to 1.")]

    @classmethod
    def of(cls, given: backoff.Backoff) -> Backoff:
        return cls(
            type=given.kind,
            delay=milliseconds(given.initial),
            max=milliseconds(given.longest),
            multiplier=given.multiplier,
            jitter=given.jitter,
        )


class Options(Shape, frozen=True):
    """The rules under which a job runs."""

    attempts: Annotated[int, says("How many attempts it may spend, the first included.")]
    backoff: Annotated[Backoff, says("The waits between them.")]
    priority: Annotated[int, says("-100 to 100; 0 is normal and higher runs sooner, other than in BullMQ.")]
    timeout: Annotated[int, says("How many ms one attempt may run.")]
    expires_at: Annotated[int | None, says("Not started by then, it fails as EXPIRED; null: never.")]
    retention: Annotated[int | None, says("How many ms it is kept after its end; null: as its queue says.")]
    unique_key: Annotated[str | None, says("What it is about, where only one such job may be.")]

    @classmethod
    def of(cls, found: job.Job) -> Options:
        request = found.request
        return cls(
            attempts=request.max_attempts,
            backoff=Backoff.of(request.backoff),
            priority=request.priority,
            timeout=milliseconds(request.timeout),
            expires_at=ms_at(request.expires_at),
            retention=ms_of(request.retention),
            unique_key=request.unique_key,
        )


class WaitReason(Shape, frozen=True):
    """One reason why a job is not running."""

    kind: Annotated[ReasonKind, says("For programs.")]
    message: Annotated[str, says("For people.")]
    until: Annotated[int | None, says("Until when it holds; null when nobody knows.")]
    ahead: Annotated[int, says("backlog: how many jobs are before it in the line.")]

    @classmethod
    def of(cls, reason: Reason) -> WaitReason:
        return cls(kind=reason.kind, message=reason.message, until=ms_at(reason.until), ahead=reason.ahead)


class ListedJob(Shape, frozen=True):
    """A job as it stands in a list: without what may be large."""

    id: Annotated[str, says("Unique within its queue.")]
    name: Annotated[str, says("Its task: the kind of work.", examples=["email.welcome"])]
    queue: Annotated[str, says("The queue it stands in.")]
    state: Annotated[JobState, says("Where it stands in its life.")]
    opts: Annotated[Options, says("The rules under which it runs.")]
    priority: Annotated[int, says("As in `opts`.")]
    timestamp: Annotated[int, says("When it was accepted.")]
    delay: Annotated[int, says("delayed: how many ms after `timestamp` it is due; else 0.")]
    attempts_made: Annotated[int, says("Attempts that it has spent: those that completed, failed or timed out.")]
    processed_on: Annotated[int | None, says("When its newest attempt started; null before the first.")]
    finished_on: Annotated[int | None, says("When it was completed, failed or cancelled; null before.")]
    processed_by: Annotated[str | None, says("The worker that holds it, or held it last; null before the first.")]
    failed_reason: Annotated[
        str | None, says("Why it failed, or what went wrong in its newest attempt; null when nothing did.")
    ]
    labels: Annotated[Mapping[str, str], says("The caller's own marks.")]
    attempts: Annotated[tuple[Attempt, ...], says("Its runs, oldest first; in a list only the newest.")]
    failure: Annotated[FailureReason | None, says("Of which kind `failedReason` is; null unless it failed.")]
    lost_leases: Annotated[int, says("How often a worker died, hung or was cut off while it held the job.")]
    snoozes: Annotated[int, says("How often it was put off as not yet possible, which costs no attempt.")]
    retries: Annotated[int, says("How often it had failed and an operator retried it.")]
    cancel_requested: Annotated[bool, says("It is to be cancelled, as soon as its worker has stopped it.")]
    cancel_reason: Annotated[str | None, says("Why, in the words of the one who asked; null when nobody said so.")]

    @classmethod
    def of(cls, found: job.Job) -> ListedJob:
        newest = found.attempts[-1] if found.attempts else None
        created = epoch_ms(found.request.created_at)
        return cls(
            id=found.id,
            name=found.request.task,
            queue=found.queue,
            state=found.state,
            opts=Options.of(found),
            priority=found.request.priority,
            timestamp=created,
            delay=max(0, epoch_ms(found.run_at) - created) if found.run_at else 0,
            # The attempt that completes a job is no failure, but spent as well.
            attempts_made=found.spent.failures + (found.state is JobState.COMPLETED),
            processed_on=epoch_ms(newest.started_at) if newest else None,
            finished_on=ms_at(found.ended_at),
            processed_by=newest.worker if newest else None,
            failed_reason=_failed_reason(found),
            labels=found.request.labels,
            attempts=tuple(map(Attempt.of, found.attempts)),
            failure=found.failure.reason if found.failure else None,
            lost_leases=found.spent.lost,
            snoozes=found.spent.snoozes,
            retries=found.spent.retries,
            cancel_requested=found.cancel_requested,
            cancel_reason=found.cancel_reason or None,
        )


class Job(ListedJob, frozen=True):
    """All that is known of a job."""

    stacktrace: Annotated[
        tuple[str, ...],
        says(
            "Where it went wrong, innermost call last, shortened: one for each of `attempts` with an `error`, in order."
        ),
    ]
    data: Annotated[Raw, says('Its payload. A secret field shows as "***", and is erased once the job has ended.')]
    progress: Annotated[float, says("How far its newest attempt says it is, 0 to 100; 0 when it does not say.")]
    progress_message: Annotated[str | None, says("What it was doing then; null when it does not say.")]
    logs: Annotated[tuple[LogLine, ...], says("What its code wrote, oldest first; of many, only the newest are kept.")]
    returnvalue: Annotated[Raw, says("What its code returned; null unless it completed with a result.")]
    wait_reasons: Annotated[
        tuple[WaitReason, ...],
        says("Why it is not running, the reason to deal with first in front; empty when it runs or has ended."),
    ]

    @classmethod
    def told(cls, found: job.Job, reasons: Sequence[Reason]) -> Job:
        return cls(
            **asdict(ListedJob.of(found)),
            stacktrace=tuple(attempt.error.stack_trace for attempt in found.attempts if attempt.error),
            data=Raw(found.request.payload),
            progress=found.progress.percent if found.progress else 0,
            progress_message=(found.progress.message or None) if found.progress else None,
            logs=tuple(map(LogLine.of, found.logs)),
            returnvalue=Raw(found.result or b"null"),
            wait_reasons=tuple(map(WaitReason.of, reasons)),
        )


def _failed_reason(found: job.Job) -> str | None:
    if found.failure:
        return found.failure.message
    error = found.attempts[-1].error if found.attempts else None
    return error.message if error else None
