"""Transitions that nobody asks for: promote, reclaim, prune. Any number of processes may run them, at any time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from server.engine.call import Argument, Call, call
from server.engine.errors import InvalidValue
from server.engine.moments import milliseconds

LOSSES_ALLOWED = 3  # starts of a job that end with a lost worker, before it counts as poison


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long ended jobs are kept, and how many at most."""

    age: timedelta
    count: int

    def __post_init__(self) -> None:
        if self.age < timedelta(0) or self.count < 0:
            raise InvalidValue("retention", "must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retentions:
    """One for each terminal state."""

    completed: Retention = Retention(age=timedelta(hours=24), count=10_000)
    failed: Retention = Retention(age=timedelta(days=30), count=10_000)
    cancelled: Retention = Retention(age=timedelta(hours=24), count=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    promoted: int
    expired: int


class Reclaimed(Enum):
    """What became of a job whose lease ran out."""

    WAITING = b"WAITING"
    POISON = b"POISON"
    CANCELLED = b"CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclamation:
    held: bool  # nobody swept for a while: the living get time to extend first
    jobs: dict[str, Reclaimed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    gone: int
    more: bool  # there is more to do at once


def promote(queue: str, *, limit: int = 100) -> Call[Promotion]:
    """delayed -> waiting for what is due; waiting | delayed -> failed for what has expired."""

    def read(reply: list[int]) -> Promotion:
        return Promotion(promoted=reply[0], expired=reply[1])

    return call("promote", queue, [limit], read)


def reclaim(
    queue: str,
    *,
    limit: int = 100,
    losses_allowed: int = LOSSES_ALLOWED,
    gap: timedelta = timedelta(seconds=5),
    hold: timedelta = timedelta(seconds=3),
) -> Call[Reclamation]:
    """active -> waiting | failed, where the lease ran out. After a `gap` without sweeps nothing happens for `hold`."""
    arguments: list[Argument] = [limit, losses_allowed, milliseconds(gap), milliseconds(hold)]

    def read(reply: list[Any]) -> Reclamation:
        jobs = {job_id.decode(): Reclaimed(word) for job_id, word in zip(reply[1::2], reply[2::2], strict=True)}
        return Reclamation(held=reply[0] == b"HOLD", jobs=jobs)

    return call("reclaim", queue, arguments, read)


def prune(queue: str, retentions: Retentions, *, limit: int = 500) -> Call[Pruning]:
    """Ended jobs -> gone, as far as their retention is over; at most `limit` of each state a call."""
    arguments: list[Argument] = [limit]
    for retention in (retentions.completed, retentions.failed, retentions.cancelled):
        arguments += [milliseconds(retention.age), retention.count]

    def read(reply: list[int]) -> Pruning:
        return Pruning(gone=reply[0], more=bool(reply[1]))

    return call("prune", queue, arguments, read)
