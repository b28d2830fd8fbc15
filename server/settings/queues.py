"""What can be set for the jobs of all queues, and for those of one."""
# ruff: noqa: RUF009 -- declared() answers with a dataclass field, as dataclasses.field() does

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from server.settings.declaration import declared
from server.settings.text import duration, flag, milliseconds, optional, whole
from server.settings.values import RateLimit, Retention

T = TypeVar("T")
USUAL_CONCURRENCY = 5
BUILT_IN_CONCURRENCY = {
    "email": 5,
    "sync": 2,
    "payment": 3,
    "enrollment": 3,
    "notification": 5,
    "cleanup": 1,
}

_MOST_RETRIES = 999
_MOST_KEPT = 10_000_000
_MOST_HEALTHY = 10_000_000
_DAY_MS = 24 * 60 * 60 * 1000

# Only these name a queue by themselves: other programs too have variables that end like MAX_RETRIES.
_OF_A_QUEUE = "QUEUE_(?:CONCURRENCY|RATE_LIMIT|HEALTHY_FAILED|HEALTHY_WAITING|HEALTHY_STALLED|NEEDS_WORKERS)"
_NAMES_A_QUEUE = re.compile(rf"([A-Z][A-Z0-9_]{{0,62}})_{_OF_A_QUEUE}")
_ABOUT_A_QUEUE = re.compile(rf"[A-Z][A-Z0-9_]*_(?:{_OF_A_QUEUE}|MAX_RETRIES|RETRY_DELAY)")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """How one queue behaves. Retries are attempts after the first; cancelled jobs are kept as completed ones.

    It is healthy while it has no more failed, waiting and stalled jobs than that, and a worker where it needs one.
    """

    concurrency: int
    rate_limit: RateLimit | None
    max_retries: int
    retry_delay: timedelta
    completed_retention: Retention
    failed_retention: Retention
    healthy_failed: int
    healthy_waiting: int
    healthy_stalled: int
    needs_workers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What holds for the jobs of every queue."""

    max_retries: int = declared(
        "JOB_MAX_RETRIES",
        whole(0, _MOST_RETRIES),
        "3",
        "attempts after the first, before a job fails; a task's own number goes before",
    )
    retry_delay: timedelta = declared(
        "JOB_RETRY_DELAY",
        milliseconds(1, _DAY_MS),
        "2000",
        "ms before the first retry; later ones wait longer; a task's own wait goes before",
    )
    completed_age: timedelta = declared(
        "CABRANK_COMPLETED_RETENTION", duration("1s", "3650d"), "24h", "how long completed and cancelled jobs are kept"
    )
    completed_count: int = declared(
        "CABRANK_COMPLETED_KEPT", whole(0, _MOST_KEPT), "10000", "how many completed jobs a queue keeps, and cancelled"
    )
    failed_age: timedelta = declared(
        "CABRANK_FAILED_RETENTION", duration("1s", "3650d"), "30d", "how long failed jobs are kept"
    )
    failed_count: int = declared(
        "CABRANK_FAILED_KEPT", whole(0, _MOST_KEPT), "10000", "how many failed jobs a queue keeps"
    )
    healthy_failed: int = declared(
        "CABRANK_HEALTHY_FAILED", whole(0, _MOST_HEALTHY), "10", "failed jobs up to which a queue counts as healthy"
    )
    healthy_waiting: int = declared(
        "CABRANK_HEALTHY_WAITING", whole(0, _MOST_HEALTHY), "100", "waiting jobs up to which a queue counts as healthy"
    )
    healthy_stalled: int = declared(
        "CABRANK_HEALTHY_STALLED", whole(0, _MOST_HEALTHY), "0", "jobs without a live lease, up to which it does"
    )
    needs_workers: bool = declared(
        "CABRANK_NEEDS_WORKERS", flag, "true", "whether a queue with tasks or jobs needs a worker to count as healthy"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueVariables:
    """What the environment says about one queue: None where it says nothing."""

    concurrency: int | None = declared(
        "{QUEUE}_QUEUE_CONCURRENCY", optional(whole(1, 100_000)), "", "jobs of the queue at once, over all workers"
    )
    rate_limit: RateLimit | None = declared(
        "{QUEUE}_QUEUE_RATE_LIMIT", optional(RateLimit.parse), "", "jobs of the queue that may start: 100/60s, 5/s"
    )
    max_retries: int | None = declared(
        "{QUEUE}_MAX_RETRIES",
        optional(whole(0, _MOST_RETRIES)),
        "",
        "JOB_MAX_RETRIES for one queue; a task's own number goes before",
    )
    retry_delay: timedelta | None = declared(
        "{QUEUE}_RETRY_DELAY",
        optional(milliseconds(1, _DAY_MS)),
        "",
        "JOB_RETRY_DELAY for one queue; a task's own wait goes before",
    )
    healthy_failed: int | None = declared(
        "{QUEUE}_QUEUE_HEALTHY_FAILED", optional(whole(0, _MOST_HEALTHY)), "", "CABRANK_HEALTHY_FAILED for one queue"
    )
    healthy_waiting: int | None = declared(
        "{QUEUE}_QUEUE_HEALTHY_WAITING", optional(whole(0, _MOST_HEALTHY)), "", "CABRANK_HEALTHY_WAITING for one queue"
    )
    healthy_stalled: int | None = declared(
        "{QUEUE}_QUEUE_HEALTHY_STALLED", optional(whole(0, _MOST_HEALTHY)), "", "CABRANK_HEALTHY_STALLED for one queue"
    )
    needs_workers: bool | None = declared(
        "{QUEUE}_QUEUE_NEEDS_WORKERS", optional(flag), "", "CABRANK_NEEDS_WORKERS for one queue"
    )

    def over(self, jobs: JobSettings, *, usual_concurrency: int) -> QueueSettings:
        """The settings of the queue: what is said here, else what holds for every queue."""
        return QueueSettings(
            concurrency=self.concurrency or usual_concurrency,
            rate_limit=self.rate_limit,
            max_retries=_first(self.max_retries, jobs.max_retries),
            retry_delay=self.retry_delay or jobs.retry_delay,
            completed_retention=Retention(age=jobs.completed_age, count=jobs.completed_count),
            failed_retention=Retention(age=jobs.failed_age, count=jobs.failed_count),
            healthy_failed=_first(self.healthy_failed, jobs.healthy_failed),
            healthy_waiting=_first(self.healthy_waiting, jobs.healthy_waiting),
            healthy_stalled=_first(self.healthy_stalled, jobs.healthy_stalled),
            needs_workers=_first(self.needs_workers, jobs.needs_workers),
        )


def _first(said: T | None, otherwise: T) -> T:
    return otherwise if said is None else said


def spelling(queue: str) -> str:
    """The queue's name as its variables begin: `course-import` gives COURSE_IMPORT."""
    return queue.upper().replace("-", "_").replace(".", "_")


def queues_named_in(variables: Iterable[str]) -> list[str]:
    """The built-in queues, then every other queue that a variable names."""
    matches = (_NAMES_A_QUEUE.fullmatch(name) for name in sorted(variables))
    return list(dict.fromkeys([*BUILT_IN_CONCURRENCY, *(match[1].lower() for match in matches if match)]))


def is_about_a_queue(variable: str) -> bool:
    return _ABOUT_A_QUEUE.fullmatch(variable) is not None
