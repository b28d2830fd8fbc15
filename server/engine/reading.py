"""How what stands in Redis is read: records, and what Lua writes by itself (leases, attempts, what is spent)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from server.engine.backoff import Backoff, BackoffKind
from server.engine.forms import (
    NORMAL_BAND,
    AttemptForm,
    BackoffForm,
    FailureForm,
    LogLineForm,
    ProgressForm,
    SettingsForm,
)
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
    Progress,
    Request,
    Spent,
)
from server.engine.moments import EPOCH, MILLISECOND, moment

_FIELDS_A_JOB = 11  # that get tells
_settings = msgspec.json.Decoder(SettingsForm)
_attempt = msgspec.json.Decoder(AttemptForm)
_progress = msgspec.json.Decoder(ProgressForm)
_log_line = msgspec.json.Decoder(LogLineForm)
_failure = msgspec.json.Decoder(FailureForm)
_text = msgspec.json.Decoder(str)


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
        timeout=kept.timeout_ms * MILLISECOND,
        expires_at=moment(int(expires)) if expires != "0" else None,
        retention=int(keep) * MILLISECOND if keep != "0" else None,
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
            created_at=EPOCH,
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


def _read_backoff(backoff: BackoffForm) -> Backoff:
    return Backoff(
        kind=BackoffKind(backoff.kind),
        initial=backoff.initial_ms * MILLISECOND,
        longest=backoff.longest_ms * MILLISECOND,
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


def _worker(token: str) -> str:
    return token.rpartition(":")[0]


_NOTHING_SPENT = Spent()
