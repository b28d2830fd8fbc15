"""A job as the contract shows it: whole, or in the short form of lists."""

from __future__ import annotations

from cabrank.v1 import job_pb2 as pb

from server.engine.admit import Enqueued
from server.engine.backoff import Backoff, BackoffKind
from server.engine.job import (
    Attempt,
    AttemptOutcome,
    Failure,
    FailureReason,
    Job,
    JobError,
    JobState,
    LogLine,
    NewJob,
    Progress,
    Request,
)
from server.rpc.times import duration, timestamp

# By name: the engine's words are the contract's. A word that one of the two lacks stops the start.
STATES = {state: pb.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState}
STATE_OF: dict[int, JobState] = {number: state for state, number in STATES.items()}
_REASONS = {reason: pb.FailureReason.Value(f"FAILURE_REASON_{reason.name}") for reason in FailureReason}
_OUTCOMES = {outcome: pb.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{outcome.name}") for outcome in AttemptOutcome}
_KINDS = {kind: pb.BackoffKind.Value(f"BACKOFF_KIND_{kind.name}") for kind in BackoffKind}


def whole(job: Job) -> pb.Job:
    """All that is known of it."""
    shown = short(job)
    shown.payload_json = job.request.payload.decode()
    shown.labels.update(job.request.labels)
    shown.attempts.extend(map(_attempt, job.attempts))
    shown.logs.extend(map(_log_line, job.logs))
    shown.result_json = (job.result or b"").decode()
    if job.progress:
        shown.progress.CopyFrom(_progress(job.progress))
    return shown


def listed(job: Job) -> pb.Job:
    """In short, and what a list is looked through for: labels, and how the newest attempt ended."""
    shown = short(job)
    shown.labels.update(job.request.labels)
    shown.attempts.extend(map(_attempt, job.attempts))
    return shown


def short(job: Job) -> pb.Job:
    """Without what may be large: payload, labels, attempts, progress, logs and result."""
    request, spent = job.request, job.spent
    newest = job.attempts[-1] if job.attempts else None
    return pb.Job(
        queue=request.queue,
        id=request.id,
        task=request.task,
        state=STATES[job.state],
        priority=request.priority,
        unique_key=request.unique_key or "",
        create_time=timestamp(request.created_at),
        run_time=timestamp(job.run_at) if job.run_at else None,
        start_time=timestamp(newest.started_at) if newest else None,
        end_time=timestamp(job.ended_at) if job.ended_at else None,
        expires_at=timestamp(request.expires_at) if request.expires_at else None,
        max_attempts=request.max_attempts,
        backoff=_backoff(request.backoff),
        timeout=duration(request.timeout),
        retention=None if request.retention is None else duration(request.retention),
        # The attempt that completes a job is no failure, but spent as well.
        attempts_made=spent.failures + (job.state is JobState.COMPLETED),
        lost_leases=spent.lost,
        snoozes=spent.snoozes,
        retries=spent.retries,
        worker=newest.worker if newest else "",
        cancel_requested=job.cancel_requested,
        cancel_reason=job.cancel_reason or "",
        failure=_failure(job.failure) if job.failure else None,
    )


def stored(job: NewJob, enqueued: Enqueued) -> Job:
    """What `get` would tell of a job that was just created, without asking."""
    return Job(
        request=Request(
            queue=job.queue,
            id=job.id,
            task=job.task,
            payload=job.payload if job.masked is None else job.masked,
            priority=job.priority,
            created_at=enqueued.at,
            max_attempts=job.max_attempts,
            backoff=job.backoff,
            timeout=job.timeout,
            expires_at=job.expires_at,
            retention=job.retention,
            unique_key=job.unique.key if job.unique else None,
            labels=job.labels,
        ),
        state=JobState.DELAYED if enqueued.run_at else JobState.WAITING,
        run_at=enqueued.run_at,
    )


def _backoff(backoff: Backoff) -> pb.Backoff:
    return pb.Backoff(
        kind=_KINDS[backoff.kind],
        initial=duration(backoff.initial),
        max=duration(backoff.longest),
        multiplier=backoff.multiplier,
        jitter=backoff.jitter,
    )


def _attempt(attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        number=attempt.number,
        worker=attempt.worker,
        start_time=timestamp(attempt.started_at),
        end_time=timestamp(attempt.ended_at) if attempt.ended_at else None,
        outcome=_OUTCOMES[attempt.outcome] if attempt.outcome else pb.ATTEMPT_OUTCOME_UNSPECIFIED,
        error=_error(attempt.error) if attempt.error else None,
    )


def _error(error: JobError) -> pb.JobError:
    return pb.JobError(type=error.type, message=error.message, stack_trace=error.stack_trace)


def _failure(failure: Failure) -> pb.JobFailure:
    return pb.JobFailure(reason=_REASONS[failure.reason], message=failure.message)


def _progress(progress: Progress) -> pb.Progress:
    return pb.Progress(percent=progress.percent, message=progress.message, update_time=timestamp(progress.at))


def _log_line(line: LogLine) -> pb.LogLine:
    return pb.LogLine(time=timestamp(line.at), attempt=line.attempt, text=line.text)
