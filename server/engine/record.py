"""How jobs are written down in Redis.

A record is one line for the scripts, one line for Python (a JSON array), and then the payload, byte for byte.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from server.engine.forms import NORMAL_BAND, BackoffForm, CrewForm, ErrorForm, FailureForm, SettingsForm
from server.engine.job import Failure, JobError, NewJob
from server.engine.moments import epoch_ms, milliseconds

_encode = msgspec.json.Encoder().encode


def band(priority: int) -> int:
    return NORMAL_BAND - priority


def body(job: NewJob) -> bytes:
    """The part of a record that is Python's alone."""
    backoff = job.backoff
    settings = SettingsForm(
        max_attempts=job.max_attempts,
        timeout_ms=milliseconds(job.timeout),
        backoff=BackoffForm(
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
    return _encode(ErrorForm(_sound(error.type), _sound(error.message), _sound(error.stack_trace)))


def failure_text(failure: Failure) -> bytes:
    return _encode(FailureForm(failure.reason, _sound(failure.message)))


def progress_text(percent: float, message: str) -> bytes:
    """Without its brackets: the time goes in front."""
    return _encode((percent, _sound(message)))[1:-1]


def json_text(text: str) -> bytes:
    return _encode(_sound(text))


def crew_text(*, tasks: Sequence[str], threads: int, started_at: datetime) -> bytes:
    return _encode(CrewForm(tasks=list(tasks), threads=threads, started=epoch_ms(started_at)))


def _sound(text: str) -> str:
    """What an exception says may hold half a character, which no JSON can."""
    return text.encode("utf-8", "replace").decode()


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=15)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return urlsafe_b64encode(digest.digest()).decode()
