"""How jobs are written down in Redis, and read back.

A record is one line for the scripts, one line for Python (a JSON array), and then the payload, byte for byte. What Lua
writes by itself (leases, attempts, what is spent) is read here as well: only this place knows the forms.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from server.engine.backoff import Backoff, BackoffKind
from server.engine.job import (
    Attempt,
    AttemptOutcome,
    Failure,
    FailureReason,
    Job,
    JobError,
    JobState,
    Lease,
    LeasedJob,
    LogLine,
    NewJob,
    Progress,
    Request,
    Spent,
)

_FIELDS_A_JOB = 11  # that get tells
NORMAL_BAND = 100  # of the line; a higher priority stands in a lower band
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Backoff(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    initial_ms: int
    longest_ms: int
    multiplier: float
    jitter: float


class _Settings(msgspec.Struct, array_like=True, frozen=True):
    max_attempts: int
    timeout_ms: int
    backoff: _Backoff
    unique_key: str | None
    labels: Mapping[str, str]


class _Error(msgspec.Struct, array_like=True, frozen=True):
    type: str
    message: str
    stack_trace: str = ""


class _Attempt(msgspec.Struct, array_like=True, frozen=True):
    number: int
    token: str
    started: int
    ended: int
    outcome: str
    error: _Error | None


class _Progress(msgspec.Struct, array_like=True, frozen=True):
    at: int
    percent: float
    message: str


class _LogLine(msgspec.Struct, array_like=True, frozen=True):
    at: int
    attempt: int
    text: str


class _Failure(msgspec.Struct, frozen=True):
    reason: str
    message: str


_encode = msgspec.json.Encoder().encode
_settings = msgspec.json.Decoder(_Settings)
_attempt = msgspec.json.Decoder(_Attempt)
_progress = msgspec.json.Decoder(_Progress)
_log_line = msgspec.json.Decoder(_LogLine)
_failure = msgspec.json.Decoder(_Failure)
_text = msgspec.json.Decoder(str)


def milliseconds(span: timedelta) -> int:
    """Rounded up: a wait is never shorter than it was asked for."""
    return -(-span // _MILLISECOND)


def epoch_ms(moment: datetime) -> int:
    """Rounded up as well: nothing is due before its time. `moment` must be aware."""
    return milliseconds(moment - _EPOCH)


def moment(ms: float) -> datetime:
    """The other way."""
    return _EPOCH + ms * _MILLISECOND


def band(priority: int) -> int:
    return NORMAL_BAND - priority


def body(job: NewJob) -> bytes:
    """The part of a record that is Python's alone."""
    backoff = job.backoff
    settings = _Settings(
        max_attempts=job.max_attempts,
        timeout_ms=milliseconds(job.timeout),
        backoff=_Backoff(
            kind=backoff.kind,
            initial_ms=milliseconds(backoff.initial),
            longest_ms=milliseconds(backoff.longest),
            multiplier=backoff.multiplier,
            jitter=backoff.jitter,
        ),
        unique_key=job.unique.key if job.unique else None,
        # Sorted: two requests that differ in their order only are the same request.
        labels=dict(sorted(job.labels.items())),
    )
    return _encode(settings) + b"\n" + (job.payload if job.masked is None else job.masked)


def fingerprint(job: NewJob, job_body: bytes) -> str:
    """What two requests must share to be the same request. Not the id: it is drawn anew when a request comes again."""
    if job.terms is not None:
        return _digest(job.task.encode(), job.terms, job.payload)
    start = (milliseconds(job.delay), epoch_ms(job.run_at) if job.run_at else 0)
    ends = (
        epoch_ms(job.expires_at) if job.expires_at else 0,
        milliseconds(job.retention) if job.retention is not None else -1,
    )
    unique = (milliseconds(job.unique.lasts or timedelta(0)), str(job.unique.on_conflict)) if job.unique else ()
    parts = repr((job.task, job.priority, start, ends, unique)).encode()
    return _digest(parts, job_body, job.payload)


def claim(kind: str, key: str) -> str:
    """The name under which a key is claimed: `i:` for idempotency, `u:` for uniqueness, then a digest of the key."""
    return f"{kind}:{_digest(key.encode('utf-8', 'surrogatepass'))}"


def error_text(error: JobError) -> bytes:
    return _encode(_Error(_sound(error.type), _sound(error.message), _sound(error.stack_trace)))


def failure_text(failure: Failure) -> bytes:
    return _encode(_Failure(failure.reason, _sound(failure.message)))


def progress_text(percent: float, message: str) -> bytes:
    """Without its brackets: the time goes in front."""
    return _encode((percent, _sound(message)))[1:-1]


def json_text(text: str) -> bytes:
    return _encode(_sound(text))


class Crew(msgspec.Struct, frozen=True):
    """What a worker says of itself."""

    tasks: list[str]
    threads: int
    started: int  # ms


def crew_text(*, tasks: Sequence[str], threads: int, started_at: datetime) -> bytes:
    return _encode(Crew(tasks=list(tasks), threads=threads, started=epoch_ms(started_at)))


def read_all_leased(queue: str, leased: Sequence[Sequence[bytes]]) -> tuple[list[LeasedJob], list[Lease]]:
    """What reserve hands out; and the leases on jobs whose records nobody can read any more."""
    jobs, unreadable = [], []
    for fields in leased:
        try:
            jobs.append(_read_leased(queue, fields))
        except (ValueError, msgspec.MsgspecError):
            job_id, _, _, lease, _ = fields
            token, _, _ = lease.decode().partition(" ")
            unreadable.append(Lease(queue=queue, job_id=job_id.decode(), token=token))
    return jobs, unreadable


def _read_leased(queue: str, fields: Sequence[bytes]) -> LeasedJob:
    job_id, record, secret, lease, spent = fields
    token, attempt, _, _, reserved, _ = lease.decode().split(" ", 5)
    request = read_request(queue, job_id.decode(), record)
    return LeasedJob(
        request=request,
        payload=secret or request.payload,
        lease=Lease(queue=queue, job_id=request.id, token=token),
        attempt=int(attempt),
        spent=_read_spent(spent),
        reserved_at=moment(int(reserved)),
    )


def read_request(queue: str, job_id: str, record: bytes) -> Request:
    head, settings, payload = record.split(b"\n", 2)
    task, job_band, created, expires, keep, _ = head.decode().split(" ", 5)
    kept = _settings.decode(settings)
    return Request(
        queue=queue,
        id=job_id,
        task=task,
        payload=payload,
        priority=NORMAL_BAND - int(job_band),
        created_at=moment(int(created)),
        max_attempts=kept.max_attempts,
        backoff=_read_backoff(kept.backoff),
        timeout=kept.timeout_ms * _MILLISECOND,
        expires_at=moment(int(expires)) if expires != "0" else None,
        retention=int(keep) * _MILLISECOND if keep != "0" else None,
        unique_key=kept.unique_key,
        labels=kept.labels,
    )


def _request_or_ruin(queue: str, job_id: str, record: bytes) -> Request:
    """Of a record that somebody wrote over nothing can be told, and yet the job stands there and can be removed: one of
    these must not hide all the others of a list.
    """
    try:
        return read_request(queue, job_id, record)
    except (ValueError, msgspec.MsgspecError):
        return Request(
            queue=queue,
            id=job_id,
            task="unreadable",  # as the scripts say it: see lua/include/head.lua
            payload=b"",
            priority=0,
            created_at=_EPOCH,
            max_attempts=1,
            backoff=Backoff(),
            timeout=timedelta(0),
            expires_at=None,
            retention=None,
            unique_key=None,
            labels={},
        )


def read_jobs(queue: str, reply: Sequence[bytes]) -> list[Job]:
    """What get tells."""
    return [_read_job(queue, reply[at : at + _FIELDS_A_JOB]) for at in range(0, len(reply), _FIELDS_A_JOB)]


def _read_job(queue: str, fields: Sequence[bytes]) -> Job:
    job_id, state_word, score, record, lease, spent, attempts, outcome, progress, logs, cancel = fields
    state = JobState(state_word.decode())
    at = moment(float(score)) if state is not JobState.WAITING else None
    return Job(
        request=_request_or_ruin(queue, job_id.decode(), record),
        state=state,
        spent=_read_spent(spent),
        run_at=at if state is JobState.DELAYED else None,
        lease_ends_at=at if state is JobState.ACTIVE else None,
        ended_at=at if state.terminal else None,
        attempts=(*_read_attempts(attempts), *_running(lease)),
        result=(outcome or None) if state is JobState.COMPLETED else None,
        failure=_read_failure(outcome) if state is JobState.FAILED else None,
        cancel_reason=_read_cancel_reason(cancel, outcome, state),
        cancel_requested=bool(cancel) or state is JobState.CANCELLED,
        progress=_read_progress(progress),
        logs=tuple(
            LogLine(at=moment(line.at), attempt=line.attempt, text=line.text) for line in _lines(_log_line, logs)
        ),
    )


def _read_backoff(backoff: _Backoff) -> Backoff:
    return Backoff(
        kind=BackoffKind(backoff.kind),
        initial=backoff.initial_ms * _MILLISECOND,
        longest=backoff.longest_ms * _MILLISECOND,
        multiplier=backoff.multiplier,
        jitter=backoff.jitter,
    )


def _read_spent(text: bytes) -> Spent:
    if not text:
        return _NOTHING_SPENT
    failures, lost, snoozes, since, retries = map(int, text.split()[:5])
    return Spent(
        failures=failures,
        lost=lost,
        snoozes=snoozes,
        snoozed_since=moment(since) if since else None,
        retries=retries,
    )


def _read_attempts(text: bytes) -> list[Attempt]:
    return [
        Attempt(
            number=line.number,
            worker=_worker(line.token),
            started_at=moment(line.started),
            ended_at=moment(line.ended),
            outcome=AttemptOutcome(line.outcome),
            error=JobError(type=line.error.type, message=line.error.message, stack_trace=line.error.stack_trace)
            if line.error
            else None,
        )
        for line in _lines(_attempt, text)
    ]


def _running(lease: bytes) -> list[Attempt]:
    if not lease:
        return []
    token, attempt, _, _, reserved, started, _ = lease.decode().split(" ", 6)
    return [Attempt(number=int(attempt), worker=_worker(token), started_at=moment(int(started) or int(reserved)))]


def _read_failure(text: bytes) -> Failure | None:
    if not text:
        return None
    failure = _failure.decode(text)
    return Failure(reason=FailureReason(failure.reason), message=failure.message)


def _read_cancel_reason(cancel: bytes, outcome: bytes, state: JobState) -> str | None:
    text = cancel or (outcome if state is JobState.CANCELLED else b"")
    return (_text.decode(text) or None) if text else None


def _read_progress(text: bytes) -> Progress | None:
    if not text:
        return None
    progress = _progress.decode(text)
    return Progress(percent=progress.percent, message=progress.message, at=moment(progress.at))


def _lines(decoder: msgspec.json.Decoder[Any], text: bytes) -> list[Any]:
    return [decoder.decode(line) for line in text.split(b"\n")] if text else []


def _sound(text: str) -> str:
    """What an exception says may hold half a character, which no JSON can."""
    return text.encode("utf-8", "replace").decode()


def _worker(token: str) -> str:
    return token.rpartition(":")[0]


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=15)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return urlsafe_b64encode(digest.digest()).decode()


_NOTHING_SPENT = Spent()
