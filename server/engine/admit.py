"""Transitions that callers ask for: enqueue, cancel, and a look at a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from server.engine import reading, record
from server.engine.call import Argument, Call, call
from server.engine.errors import (
    IdempotencyKeyReused,
    InvalidValue,
    JobExists,
    JobInState,
    JobNotFound,
    UniqueConflict,
)
from server.engine.job import Job, JobState, NewJob, OnConflict
from server.engine.moments import epoch_ms, milliseconds, moment

BATCH_LIMIT = 1000  # jobs a call
IDEMPOTENCY_WINDOW = timedelta(hours=24)
_REFUSALS = {
    b"JOB_EXISTS": JobExists,
    b"IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
    b"UNIQUE_CONFLICT": UniqueConflict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """What became of one job that was handed in."""

    job_id: str  # the new job's, or that of the one that was there already
    created: bool
    replaced: bool
    at: datetime
    run_at: datetime | None  # when a new or replaced job is due; None: at once


def enqueue(queue: str, jobs: Sequence[NewJob]) -> Call[list[Enqueued]]:
    """-> waiting | delayed, all or nothing.

    Raises JobExists, IdempotencyKeyReused or UniqueConflict, with the index of the job that was refused.
    """
    if not 1 <= len(jobs) <= BATCH_LIMIT:
        raise InvalidValue("jobs", f"must be 1 to {BATCH_LIMIT}")
    arguments: list[Argument] = []
    for job in jobs:
        arguments.extend(_enqueue_arguments(job))
    return call("enqueue", queue, arguments, _read_enqueued)


def cancel(queue: str, job_id: str, reason: str = "") -> Call[JobState]:
    """waiting | delayed -> cancelled; an active job is asked to stop. The state it is in then.

    Raises JobNotFound, JobInState. May be repeated.
    """

    def read(reply: list[bytes]) -> JobState:
        if reply[0] == b"JOB_NOT_FOUND":
            raise JobNotFound(queue, job_id)
        if reply[0] == b"JOB_STATE":
            raise JobInState(job_id, reply[1].decode())
        return JobState(reply[1].decode())

    return call("cancel", queue, [job_id, record.json_text(reason)], read)


def get(queue: str, job_id: str) -> Call[Job]:
    """All that is known of a job. Raises JobNotFound."""

    def read(reply: list[bytes]) -> Job:
        for job in reading.read_jobs(queue, reply):
            return job
        raise JobNotFound(queue, job_id)

    return call("get", queue, ["whole", job_id], read)


def find(queue: str, job_ids: Sequence[str]) -> Call[list[Job]]:
    """All that is known of those of these jobs that are known. At most 1,000."""
    return call("get", queue, ["whole", *job_ids], lambda reply: reading.read_jobs(queue, reply))


def states(queue: str, job_ids: Sequence[str]) -> Call[list[JobState | None]]:
    """Where these jobs stand, in the order asked; None for one that is not known. At most 1,000."""

    def read(reply: list[bytes]) -> list[JobState | None]:
        return [JobState(word.decode()) if word else None for word in reply]

    return call("states", queue, list(job_ids), read)


def _enqueue_arguments(job: NewJob) -> list[Argument]:
    body = record.body(job)
    unique = job.unique
    return [
        job.id,
        job.task,
        record.band(job.priority),
        milliseconds(job.delay),
        epoch_ms(job.run_at) if job.run_at else 0,
        # 0 stands for never.
        max(1, epoch_ms(job.expires_at)) if job.expires_at else 0,
        # 0 stands for the queue's own retention.
        0 if job.retention is None else max(1, milliseconds(job.retention)),
        body,
        job.payload if job.masked is not None else b"",
        record.claim("i", job.idempotency_key) if job.idempotency_key else b"",
        milliseconds(IDEMPOTENCY_WINDOW),
        record.fingerprint(job, body),
        record.claim("u", unique.key) if unique else b"",
        milliseconds(unique.lasts) if unique and unique.lasts else 0,
        unique.on_conflict if unique else OnConflict.RETURN,
    ]


def _read_enqueued(reply: list[Any]) -> list[Enqueued]:
    if reply[0] != b"OK":
        raise _REFUSALS[reply[0]](reply[2].decode(), index=reply[1])
    now = moment(reply[1])
    return [
        Enqueued(
            job_id=job_id.decode(),
            created=word == b"CREATED",
            replaced=word == b"REPLACED",
            at=now,
            run_at=moment(due) if due else None,
        )
        for word, job_id, due in zip(reply[2::3], reply[3::3], reply[4::3], strict=True)
    ]
