"""What most tests of the engine need in their hands: jobs to enqueue, a worker that takes them, ways to settle them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis

from server.engine.admit import Enqueued, enqueue, get, states
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.job import Failure, FailureReason, Job, JobError, JobState, LeasedJob, NewJob
from server.engine.work import (
    Completion,
    FinalFailure,
    RateLimit,
    Release,
    Reservation,
    Retry,
    Run,
    Snooze,
    complete,
    fail,
    release,
    reserve,
    retry,
    snooze,
    stop,
)

QUEUE = "email"
TASK = "email.welcome"
PAYLOAD = b'{"user_id": "u1"}'
LEASE = timedelta(seconds=15)
BACKOFF = timedelta(seconds=2)
RAN_FOR = timedelta(milliseconds=5)  # from the reservation to the start
ERROR = JobError(type="SmtpRefused", message="451 try later", stack_trace="Traceback\n  here")
EXHAUSTED = Failure(reason=FailureReason.EXHAUSTED, message="4 attempts failed")


def new_job(job_id: str = "a", **fields: Any) -> NewJob:
    return NewJob(**({"queue": QUEUE, "id": job_id, "task": TASK, "payload": PAYLOAD} | fields))


def put(engine: Engine, *jobs: NewJob | str) -> list[Enqueued]:
    """Enqueues all of them in one call; a bare id stands for a job with nothing special."""
    return engine.run(enqueue(QUEUE, [new_job(job) if isinstance(job, str) else job for job in jobs]))


def look(engine: Engine, job_id: str = "a") -> Job:
    return engine.run(get(QUEUE, job_id))


def state(engine: Engine, job_id: str = "a") -> JobState | None:
    return engine.run(states(QUEUE, [job_id]))[0]


@dataclass
class Worker:
    """A worker without threads: it reserves, under rising numbers."""

    engine: Engine
    name: str = "w1"
    number: int = 0

    def reserve(self, want: int = 1, **limits: Any) -> Reservation:
        self.number += 1
        return self.reserve_again(want, **limits)

    def reserve_again(
        self, want: int = 1, *, lease: timedelta = LEASE, concurrency: int = 0, rate_limit: RateLimit | None = None
    ) -> Reservation:
        """Under the last number once more, as when its answer was lost."""
        return self.engine.run(
            reserve(
                QUEUE,
                worker=self.name,
                number=self.number,
                want=want,
                lease=lease,
                concurrency=concurrency,
                rate_limit=rate_limit,
            )
        )

    def take(self, want: int = 100, **limits: Any) -> list[LeasedJob]:
        return self.reserve(want, **limits).jobs

    def take_one(self) -> LeasedJob:
        (job,) = self.take(1)
        return job


def ids(jobs: list[LeasedJob]) -> list[str]:
    return [job.request.id for job in jobs]


def run_of(job: LeasedJob) -> Run:
    return Run(lease=job.lease, started_after=RAN_FOR)


Settle = Callable[..., Call[list[bool]]]


def completed(*jobs: LeasedJob, result: bytes | None = None) -> Call[list[bool]]:
    return complete(QUEUE, [Completion(run=run_of(job), result=result) for job in jobs])


def retried(*jobs: LeasedJob, delay: timedelta = BACKOFF) -> Call[list[bool]]:
    return retry(QUEUE, [Retry(run=run_of(job), delay=delay, error=ERROR) for job in jobs])


def failed(*jobs: LeasedJob) -> Call[list[bool]]:
    return fail(QUEUE, [FinalFailure(run=run_of(job), failure=EXHAUSTED, error=ERROR) for job in jobs])


def snoozed(*jobs: LeasedJob, delay: timedelta = BACKOFF) -> Call[list[bool]]:
    return snooze(QUEUE, [Snooze(run=run_of(job), delay=delay, reason=ERROR) for job in jobs])


def released(*jobs: LeasedJob, delay: timedelta = timedelta(0)) -> Call[list[bool]]:
    return release(QUEUE, [Release(lease=job.lease, delay=delay) for job in jobs])


def stopped(*jobs: LeasedJob) -> Call[list[bool]]:
    return stop(QUEUE, [run_of(job) for job in jobs])


# Every way in which a worker gives a job out of its hands.
SETTLEMENTS: dict[str, Settle] = {
    "complete": completed,
    "retry": retried,
    "fail": failed,
    "snooze": snoozed,
    "release": released,
    "stop": stopped,
}

Contents = dict[str, dict[bytes, Any]]


def contents(raw: redis.Redis) -> Contents:
    """All that the server holds: key -> field or member -> value or score."""
    return {key.decode(): _entries(raw, key) for key in sorted(raw.scan_iter(count=1000))}


def _entries(raw: redis.Redis, key: bytes) -> dict[bytes, Any]:
    match raw.type(key):
        case b"hash":
            entries: Any = raw.hgetall(key)
        case b"stream":
            entries = raw.xrange(key)
        case _:
            entries = raw.zrange(key, 0, -1, withscores=True)
    return dict(entries)


def keys_that_hold(raw: redis.Redis, text: str) -> set[str]:
    """Short names of the keys in which the text stands anywhere."""
    needle = text.encode()
    return {
        key.rpartition(":")[2]
        for key, entries in contents(raw).items()
        if any(needle in field or needle in str(value).encode() for field, value in entries.items())
    }


def woken(raw: redis.Redis) -> bool:
    """Takes the marker away, as a worker does that was woken."""
    return bool(raw.zpopmin(f"cabrank:{{{QUEUE}}}:wake"))
