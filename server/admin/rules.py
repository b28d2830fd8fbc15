"""The settings of a queue that hold now: what operators have set, else what the environment says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from server.engine.overrides import Overrides
from server.engine.sweep import Retention
from server.engine.work import RateLimit
from server.settings import QueueSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Cancelled jobs are kept as completed ones."""

    concurrency: int
    rate_limit: RateLimit | None
    completed: Retention
    failed: Retention
    healthy_failed: int
    healthy_waiting: int
    healthy_stalled: int
    needs_workers: bool
    updated: tuple[str, ...]  # names of the settings that operators have set

    @classmethod
    def of(cls, settings: QueueSettings, overrides: Overrides) -> Rules:
        return cls(
            concurrency=_first(overrides.concurrency, settings.concurrency),
            rate_limit=_rate_limit(settings, overrides),
            completed=Retention(
                age=_first(overrides.completed_age, settings.completed_retention.age),
                count=_first(overrides.completed_count, settings.completed_retention.count),
            ),
            failed=Retention(
                age=_first(overrides.failed_age, settings.failed_retention.age),
                count=_first(overrides.failed_count, settings.failed_retention.count),
            ),
            healthy_failed=_first(overrides.healthy_failed, settings.healthy_failed),
            healthy_waiting=_first(overrides.healthy_waiting, settings.healthy_waiting),
            healthy_stalled=_first(overrides.healthy_stalled, settings.healthy_stalled),
            needs_workers=_first(overrides.needs_workers, settings.needs_workers),
            updated=tuple(overrides.names),
        )


def _rate_limit(settings: QueueSettings, overrides: Overrides) -> RateLimit | None:
    if overrides.rate_limit or overrides.unlimited_rate:
        return overrides.rate_limit
    given = settings.rate_limit
    return RateLimit(count=given.count, period=given.period) if given else None


def _first(set_by_operator: T | None, otherwise: T) -> T:
    return otherwise if set_by_operator is None else set_by_operator
