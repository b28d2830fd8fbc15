"""Leased jobs as a reservation hands them out, and a clock that only the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from server.engine.backoff import Backoff, BackoffKind
from server.engine.job import Lease, LeasedJob, Request, Spent
from workers.holding import Holding

NOW = datetime(2030, 1, 1, tzinfo=UTC)
STEADY = Backoff(kind=BackoffKind.EXPONENTIAL, initial=timedelta(seconds=2), jitter=0.5)


class Seconds:
    """A monotonic clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leased(
    job_id: str = "a",
    *,
    queue: str = "email",
    number: int = 1,
    payload: bytes = b"{}",
    masked: bytes | None = None,
    spent: Spent | None = None,
    **request: Any,
) -> LeasedJob:
    fields: dict[str, Any] = {
        "queue": queue,
        "id": job_id,
        "task": "email.welcome",
        "payload": payload if masked is None else masked,
        "priority": 0,
        "created_at": NOW - timedelta(minutes=1),
        "max_attempts": 4,
        "backoff": STEADY,
        "timeout": timedelta(minutes=10),
        "expires_at": None,
        "retention": None,
        "unique_key": None,
        "labels": {},
    }
    spent = spent or Spent()
    return LeasedJob(
        request=Request(**(fields | request)),
        payload=payload,
        lease=Lease(queue=queue, job_id=job_id, token=f"w:{number}"),
        attempt=spent.failures + spent.lost + 1,
        spent=spent,
        reserved_at=NOW,
    )


def begun(job: LeasedJob | None = None, *, clock: Seconds | None = None) -> Holding:
    """A job that a thread has begun, reserved at NOW."""
    holding = Holding(job or leased(), clock=clock or Seconds())
    assert holding.begin()
    return holding
