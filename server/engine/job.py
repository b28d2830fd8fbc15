"""What a job is. Plain values and no I/O: every floor above speaks in these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from server.engine.backoff import Backoff
from server.engine.errors import InvalidValue
from server.engine.names import checked_job_id, checked_queue, checked_task

LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100
MOST_ATTEMPTS = 1000
PAYLOAD_LIMIT = 256 * 1024  # bytes
MOST_LABELS, LABEL_LIMIT = 16, 100  # entries; characters of a name or value
KEY_LIMIT = 200  # characters of an idempotency or unique key
LONGEST_DELAY = timedelta(days=366)
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class JobState(StrEnum):
    """Where a job stands: in exactly one of these."""

    WAITING = "waiting"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    DELAYED = "delayed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class OnConflict(StrEnum):
    """What an enqueue does when another job holds its unique key."""

    RETURN = "return"
    REFUSE = "refuse"
    REPLACE = "replace"


class FailureReason(StrEnum):
    """Why a job ended as failed."""

    EXHAUSTED = "EXHAUSTED"  # its attempts are used up; the last error tells more
    PERMANENT = "PERMANENT"  # its actor said that no further attempt would help
    EXPIRED = "EXPIRED"  # it had not started by its expiry
    POISON = "POISON"  # its workers were lost too often while they had it
    OVERSLEPT = "OVERSLEPT"  # it was snoozed for longer than allowed


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SNOOZED = "snoozed"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """At most one job with this key at a time: while it lives, or for `lasts` after the enqueue."""

    key: str
    lasts: timedelta | None = None
    on_conflict: OnConflict = OnConflict.RETURN

    def __post_init__(self) -> None:
        _refuse_long("unique_key", self.key)
        if self.lasts is not None and not timedelta(0) < self.lasts <= LONGEST_DELAY:
            raise InvalidValue("unique_for", "must lie between 1 ms and 366 days")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as it is handed in.

    `payload` is the exact text that the actor gets. Where it holds secrets, `masked` is the text that everybody else
    gets to see, and `payload` is kept apart and erased when the job ends. `terms` is what was asked for beside task and
    payload, in the caller's words: with it two requests are the same even if the defaults that fill them up are not.
    """

    queue: str
    id: str
    task: str
    payload: bytes = field(repr=False)
    masked: bytes | None = None
    terms: bytes | None = field(default=None, repr=False)
    priority: int = 0
    delay: timedelta = timedelta(0)
    run_at: datetime | None = None
    max_attempts: int = 4
    backoff: Backoff = Backoff()  # noqa: RUF009  (frozen)
    timeout: timedelta = timedelta(minutes=10)
    expires_at: datetime | None = None
    retention: timedelta | None = None  # None: as the queue says
    idempotency_key: str | None = None
    unique: Unique | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)

    def __post_init__(self) -> None:
        checked_queue(self.queue)
        checked_job_id(self.id)
        checked_task(self.task)
        _refuse_start(self)
        _refuse_limits(self)
        _refuse_labels(self.labels)
        if self.idempotency_key is not None:
            _refuse_long("idempotency_key", self.idempotency_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One worker's hold on one job. Only its token can settle the job."""

    queue: str
    job_id: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """What an attempt raised. `type` is the exception's name; the texts are cut to a bounded length."""

    type: str
    message: str
    stack_trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed, for good."""

    reason: FailureReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a job. A running one has neither end nor outcome."""

    number: int  # from 1; a snoozed attempt's number comes again
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a job has used up: attempts that failed, leases lost, snoozes, and since when it is being snoozed.

    `retries`: how often an operator forgave it all of that.
    """

    failures: int = 0
    lost: int = 0
    snoozes: int = 0
    snoozed_since: datetime | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a job was enqueued with, as it is kept."""

    queue: str
    id: str
    task: str
    payload: bytes  # masked, where it holds secrets
    priority: int
    created_at: datetime
    max_attempts: int
    backoff: Backoff
    timeout: timedelta
    expires_at: datetime | None
    retention: timedelta | None
    unique_key: str | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedJob:
    """A job in the hands of a worker. `payload` is the exact text, secrets included."""

    request: Request
    payload: bytes = field(repr=False)
    lease: Lease
    attempt: int  # from 1
    spent: Spent
    reserved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an actor says it is. `percent` lies in 0 to 100."""

    percent: float
    message: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that an actor wrote."""

    at: datetime
    attempt: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that is known of a job."""

    request: Request
    state: JobState
    spent: Spent = Spent()
    run_at: datetime | None = None  # delayed: when it is due
    lease_ends_at: datetime | None = None  # active
    ended_at: datetime | None = None  # terminal
    attempts: tuple[Attempt, ...] = ()  # oldest first, at most the last 20 and the running one
    result: bytes | None = None  # completed: JSON
    failure: Failure | None = None  # failed
    cancel_reason: str | None = None  # cancelled, or active and asked to stop
    cancel_requested: bool = False
    progress: Progress | None = None
    logs: tuple[LogLine, ...] = ()

    @property
    def queue(self) -> str:
        return self.request.queue

    @property
    def id(self) -> str:
        return self.request.id


def _refuse_start(job: NewJob) -> None:
    if job.delay and job.run_at:
        raise InvalidValue("delay", "and run_at cannot be given together")
    if not timedelta(0) <= job.delay <= LONGEST_DELAY:
        raise InvalidValue("delay", "must lie between 0 and 366 days")


def _refuse_limits(job: NewJob) -> None:
    if not LOWEST_PRIORITY <= job.priority <= HIGHEST_PRIORITY:
        raise InvalidValue("priority", f"must lie between {LOWEST_PRIORITY} and {HIGHEST_PRIORITY}")
    if not 1 <= job.max_attempts <= MOST_ATTEMPTS:
        raise InvalidValue("max_attempts", f"must lie between 1 and {MOST_ATTEMPTS}")
    if not timedelta(seconds=1) <= job.timeout <= timedelta(days=1):
        raise InvalidValue("timeout", "must lie between 1 s and 24 h")
    if job.retention is not None and not timedelta(0) <= job.retention <= LONGEST_DELAY:
        raise InvalidValue("retention", "must lie between 0 and 366 days")
    if not job.payload:
        raise InvalidValue("payload", "must not be empty")
    if len(job.payload) > PAYLOAD_LIMIT:
        raise InvalidValue("payload", f"must not be longer than {PAYLOAD_LIMIT // 1024} KiB")


def _refuse_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MOST_LABELS:
        raise InvalidValue("labels", f"must not be more than {MOST_LABELS}")
    for name, value in labels.items():
        if not 0 < len(name) <= LABEL_LIMIT or len(value) > LABEL_LIMIT:
            raise InvalidValue(f"labels[{name!r}]", f"must have 1 to {LABEL_LIMIT} characters, its value no more")


def _refuse_long(name: str, key: str) -> None:
    if not 0 < len(key) <= KEY_LIMIT:
        raise InvalidValue(name, f"must be 1 to {KEY_LIMIT} characters")
