"""What operators have set for a queue, over what its environment says. Kept in the queue's `meta`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from server.engine.errors import InvalidValue
from server.engine.moments import milliseconds
from server.engine.work import RateLimit

MOST_AT_ONCE = 100_000
MOST_STARTS = 1_000_000
MOST_KEPT = 10_000_000
LONGEST_PERIOD = timedelta(hours=24)
SHORTEST_AGE, LONGEST_AGE = timedelta(seconds=1), timedelta(days=3650)

# What can be set, by the names that operators reset it by -> the fields of `meta` that hold it.
FIELDS = {
    "concurrency": ("concurrency",),
    "rate_limit": ("rate_count", "rate_ms"),
    "completed_retention": ("completed_age", "completed_count"),
    "failed_retention": ("failed_age", "failed_count"),
    "health": ("healthy_failed", "healthy_waiting", "healthy_stalled", "needs_workers"),
}
_COUNTS = ("completed_count", "failed_count", "healthy_failed", "healthy_waiting", "healthy_stalled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """None where nothing was set: there the environment holds."""

    concurrency: int | None = None
    rate_limit: RateLimit | None = None
    unlimited_rate: bool = False  # no rate limit, whatever the environment says
    completed_age: timedelta | None = None
    completed_count: int | None = None
    failed_age: timedelta | None = None
    failed_count: int | None = None
    healthy_failed: int | None = None
    healthy_waiting: int | None = None
    healthy_stalled: int | None = None
    needs_workers: bool | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and not 1 <= self.concurrency <= MOST_AT_ONCE:
            raise InvalidValue("concurrency", f"must lie between 1 and {MOST_AT_ONCE:,}")
        if self.rate_limit is not None and self.rate_limit.count > MOST_STARTS:
            raise InvalidValue("rate_limit.count", f"must lie between 0 and {MOST_STARTS:,}")
        if self.rate_limit is not None and self.rate_limit.period > LONGEST_PERIOD:
            raise InvalidValue("rate_limit.period", "must lie between 1 ms and 24 h")
        self._refuse_ages()
        self._refuse_counts()

    @classmethod
    def read(cls, meta: Mapping[str, str]) -> Overrides:
        """From the fields of `meta`; the others in it are none of its business."""
        numbers = {name: int(text) for name, text in meta.items() if any(name in names for names in FIELDS.values())}
        rate_count, rate_ms = numbers.pop("rate_count", None), numbers.pop("rate_ms", 1000)
        needs_workers = numbers.pop("needs_workers", None)
        return cls(
            rate_limit=RateLimit(count=rate_count, period=timedelta(milliseconds=rate_ms)) if rate_count else None,
            unlimited_rate=rate_count == 0,
            needs_workers=None if needs_workers is None else bool(needs_workers),
            completed_age=_age(numbers.pop("completed_age", None)),
            failed_age=_age(numbers.pop("failed_age", None)),
            **numbers,
        )

    def fields(self) -> dict[str, int]:
        """As `meta` holds them."""
        given: dict[str, int | None] = {
            "concurrency": self.concurrency,
            "completed_age": None if self.completed_age is None else milliseconds(self.completed_age),
            "failed_age": None if self.failed_age is None else milliseconds(self.failed_age),
            "needs_workers": self.needs_workers,
            **{name: getattr(self, name) for name in _COUNTS},
        }
        if self.rate_limit is not None:
            given |= {"rate_count": self.rate_limit.count, "rate_ms": milliseconds(self.rate_limit.period)}
        elif self.unlimited_rate:
            given["rate_count"] = 0
        return {name: int(value) for name, value in given.items() if value is not None}

    @property
    def names(self) -> list[str]:
        """What of it is set, by the names of FIELDS."""
        fields = self.fields()
        return [name for name, theirs in FIELDS.items() if any(field in fields for field in theirs)]

    def _refuse_ages(self) -> None:
        for name in ("completed", "failed"):
            age = getattr(self, f"{name}_age")
            if age is not None and not SHORTEST_AGE <= age <= LONGEST_AGE:
                raise InvalidValue(f"{name}_retention.age", "must lie between 1 s and 3650 days")

    def _refuse_counts(self) -> None:
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and not 0 <= count <= MOST_KEPT:
                raise InvalidValue(_path(name), f"must lie between 0 and {MOST_KEPT:,}")


def _age(ms: int | None) -> timedelta | None:
    return None if ms is None else timedelta(milliseconds=ms)


def _path(field: str) -> str:
    """As the contract names it: completed_retention.count, health.failed."""
    group = next(name for name, fields in FIELDS.items() if field in fields)
    return f"{group}.{field.rpartition('_')[2]}"
