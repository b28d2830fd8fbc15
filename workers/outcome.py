"""What becomes of a job when its actor is done: rules without I/O, from result or exception to settlement."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
from dramatiq.errors import Retry as RetryRequested
from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded

from server.catalog import PermanentFailure
from server.catalog import Snooze as NotYet
from server.engine.job import AttemptOutcome, Failure, FailureReason, JobError, LeasedJob
from server.engine.work import Completion, FinalFailure, Release, Retry, Run, Snooze
from workers.holding import Holding, JobCancelled, LeaseGone
from workers.veil import veiled

SNOOZE_CEILING = timedelta(hours=24)
_FIRST_SNOOZE, _LONGEST_SNOOZE = timedelta(seconds=2), timedelta(minutes=1)
_WAYS_OUT = (NotYet, PermanentFailure, RetryRequested)
_MESSAGE_LIMIT, _TRACE_LIMIT, _RESULT_LIMIT = 1000, 8000, 64 * 1024  # characters, characters, bytes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The job was cancelled while it was here."""

    run: Run


Settlement = Completion | Retry | FinalFailure | Snooze | Release | Stop


def settle(
    holding: Holding, error: BaseException | None, *, roll: Callable[[], float] = random.random
) -> Settlement | None:
    """What to tell the engine; None when the job is not this worker's any more."""
    try:
        return _settled(holding, _bare(error), roll)
    except Exception as misuse:
        # Such as Snooze(5), which is no timedelta: a fault of the actor as any other.
        return _settled(holding, misuse, roll)


def _settled(  # noqa: PLR0911  (one for each way an attempt can end)
    holding: Holding, error: BaseException | None, roll: Callable[[], float]
) -> Settlement | None:
    run, job = holding.run, holding.job
    match error:
        case None:
            return Completion(run=run, result=_encoded(holding.result, job))
        case LeaseGone():
            return None
        case JobCancelled():
            return Stop(run=run)
        case Shutdown():
            return Release(lease=run.lease)
        case NotYet():
            return _snoozed(run, job, error, holding.now)
        case PermanentFailure():
            return _failed(run, job, FailureReason.PERMANENT, _words(error), error)
    return _retried_or_failed(run, job, error, roll())


def _bare(error: BaseException | None) -> BaseException | None:
    """An interrupt counts as such in whatever clothes, unless the actor made one of its own ways out of it."""
    if error is None or isinstance(error, _WAYS_OUT) or not isinstance(error.__cause__, Interrupt):
        return error
    return error.__cause__


def _snoozed(run: Run, job: LeasedJob, error: NotYet, now: datetime) -> Settlement:
    since = job.spent.snoozed_since or now
    ceiling = SNOOZE_CEILING if error.ceiling is None else error.ceiling
    if now - since >= ceiling:
        message = f"not ready within {ceiling}: {_words(error)}"
        return _failed(run, job, FailureReason.OVERSLEPT, message, error)
    delay = error.delay if error.delay is not None else _growing(job.spent.snoozes)
    # Looked at for the last time when the ceiling is reached, not some while after.
    delay = max(min(delay, since + ceiling - now), timedelta(milliseconds=1))
    return Snooze(run=run, delay=delay, reason=JobError(type="Snooze", message=_message(_words(error), job)))


def _growing(snoozes: int) -> timedelta:
    return min(_FIRST_SNOOZE * (1 << min(snoozes, 16)), _LONGEST_SNOOZE)


def _retried_or_failed(run: Run, job: LeasedJob, error: BaseException, roll: float) -> Settlement:
    outcome = AttemptOutcome.TIMED_OUT if isinstance(error, TimeLimitExceeded) else AttemptOutcome.FAILED
    failures = job.spent.failures + 1
    if failures >= job.request.max_attempts:
        return _failed(run, job, FailureReason.EXHAUSTED, _last_words(error, failures), error, outcome)
    delay = job.request.backoff.delay_after(failures, roll=roll)
    if isinstance(error, RetryRequested) and error.delay is not None:
        delay = timedelta(milliseconds=error.delay)
    return Retry(run=run, delay=delay, error=_described(error, job), outcome=outcome)


def _failed(
    run: Run,
    job: LeasedJob,
    reason: FailureReason,
    message: str,
    error: BaseException,
    outcome: AttemptOutcome = AttemptOutcome.FAILED,
) -> FinalFailure:
    failure = Failure(reason=reason, message=_message(message, job))
    return FinalFailure(run=run, failure=failure, error=_described(error, job), outcome=outcome)


def _last_words(error: BaseException, failures: int) -> str:
    attempts = "1 attempt" if failures == 1 else f"{failures} attempts"
    return f"{attempts} failed, the last with {type(error).__name__}: {_words(error)}"


def _described(error: BaseException, job: LeasedJob) -> JobError:
    return JobError(
        type=type(error).__name__,
        message=_message(_words(error) or type(error).__name__, job),
        # The end says where it broke.
        stack_trace=veiled(_trace(error), job)[-_TRACE_LIMIT:],
    )


def _trace(error: BaseException) -> str:
    """As Python prints it; what cannot be printed is left out."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return ""


def _words(error: BaseException) -> str:
    """What it says; it may fail even at that."""
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} without words>"


def _message(text: str, job: LeasedJob) -> str:
    shown = veiled(text, job)
    return shown if len(shown) <= _MESSAGE_LIMIT else shown[: _MESSAGE_LIMIT - 1] + "…"


def _encoded(result: object, job: LeasedJob) -> bytes | None:
    """JSON, or None: a result that cannot be kept must not undo the work that was done."""
    if result is None:
        return None
    try:
        text = msgspec.json.encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        log.warning("result not kept", task=job.request.task, job_id=job.request.id, reason=str(error))
        return None
    if len(text) > _RESULT_LIMIT:
        log.warning("result not kept", task=job.request.task, job_id=job.request.id, reason="longer than 64 KiB")
        return None
    return text
