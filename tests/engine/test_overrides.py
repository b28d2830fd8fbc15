"""What operators set for a queue: what it may be, and how it is kept."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from server.engine.errors import InvalidValue
from server.engine.overrides import (
    FIELDS,
    LONGEST_AGE,
    LONGEST_PERIOD,
    MOST_AT_ONCE,
    MOST_KEPT,
    MOST_STARTS,
    SHORTEST_AGE,
    Overrides,
)
from server.engine.work import RateLimit

SECOND, MS = timedelta(seconds=1), timedelta(milliseconds=1)
# Each field with what it may be at its edges, and the names of `meta` and of a reset that stand for it.
EDGES: dict[str, tuple[list[Any], dict[str, int], str]] = {
    "concurrency": ([1, MOST_AT_ONCE], {"concurrency": 1}, "concurrency"),
    "rate_limit": (
        [RateLimit(count=1, period=MS), RateLimit(count=MOST_STARTS, period=LONGEST_PERIOD)],
        {"rate_count": 1, "rate_ms": 1},
        "rate_limit",
    ),
    "unlimited_rate": ([True], {"rate_count": 0}, "rate_limit"),
    "completed_age": ([SHORTEST_AGE, LONGEST_AGE], {"completed_age": 1000}, "completed_retention"),
    "completed_count": ([0, MOST_KEPT], {"completed_count": 0}, "completed_retention"),
    "failed_age": ([SHORTEST_AGE, LONGEST_AGE], {"failed_age": 1000}, "failed_retention"),
    "failed_count": ([0, MOST_KEPT], {"failed_count": 0}, "failed_retention"),
    "healthy_failed": ([0, MOST_KEPT], {"healthy_failed": 0}, "health"),
    "healthy_waiting": ([0, MOST_KEPT], {"healthy_waiting": 0}, "health"),
    "healthy_stalled": ([0, MOST_KEPT], {"healthy_stalled": 0}, "health"),
    "needs_workers": ([False, True], {"needs_workers": 0}, "health"),
}
EACH = [(name, value) for name, (values, _, _) in EDGES.items() for value in values]


def kept(overrides: Overrides) -> dict[str, str]:
    return {name: str(value) for name, value in overrides.fields().items()}


def test_every_field_is_tried_here() -> None:
    assert {field.name for field in fields(Overrides)} == EDGES.keys()
    assert {group for _, _, group in EDGES.values()} == FIELDS.keys()


@pytest.mark.parametrize(("name", "value"), EACH)
def test_what_was_set_is_read_back(name: str, value: object) -> None:
    overrides = Overrides(**{name: value})  # type: ignore[arg-type]

    assert Overrides.read(kept(overrides)) == overrides
    assert overrides.names == [EDGES[name][2]]


def test_all_of_it_together_is_read_back() -> None:
    overrides = Overrides(**{name: values[-1] for name, (values, _, _) in EDGES.items() if name != "unlimited_rate"})

    assert Overrides.read(kept(overrides)) == overrides
    assert overrides.names == list(FIELDS)


@pytest.mark.parametrize("name", EDGES)
def test_a_field_has_its_names_in_meta(name: str) -> None:
    values, held, group = EDGES[name]

    assert Overrides(**{name: values[0]}).fields() == held
    assert held.keys() <= set(FIELDS[group])


def test_where_nothing_was_set_nothing_is_kept() -> None:
    assert Overrides().fields() == {}
    assert Overrides().names == []
    assert Overrides.read({}) == Overrides()


def test_what_else_stands_in_meta_is_none_of_its_business() -> None:
    assert Overrides.read({"seq": "7", "paused": "8", "pause_reason": "a deploy", "concurrency": "3"}) == Overrides(
        concurrency=3
    )


def test_a_limit_that_was_lifted_is_lifted_whatever_its_period_was() -> None:
    assert Overrides.read({"rate_count": "0", "rate_ms": "60000"}) == Overrides(unlimited_rate=True)


WRONG: list[tuple[str, Any, str]] = [
    ("concurrency", 0, "concurrency"),
    ("concurrency", MOST_AT_ONCE + 1, "concurrency"),
    ("rate_limit", RateLimit(count=MOST_STARTS + 1, period=SECOND), "rate_limit.count"),
    ("rate_limit", RateLimit(count=1, period=LONGEST_PERIOD + MS), "rate_limit.period"),
    ("completed_age", SHORTEST_AGE - MS, "completed_retention.age"),
    ("completed_age", LONGEST_AGE + MS, "completed_retention.age"),
    ("failed_age", timedelta(0), "failed_retention.age"),
    ("failed_age", LONGEST_AGE + MS, "failed_retention.age"),
    ("completed_count", -1, "completed_retention.count"),
    ("completed_count", MOST_KEPT + 1, "completed_retention.count"),
    ("failed_count", -1, "failed_retention.count"),
    ("failed_count", MOST_KEPT + 1, "failed_retention.count"),
    ("healthy_failed", -1, "health.failed"),
    ("healthy_waiting", MOST_KEPT + 1, "health.waiting"),
    ("healthy_stalled", -1, "health.stalled"),
]


@pytest.mark.parametrize(("name", "value", "path"), WRONG)
def test_what_it_may_not_be_is_refused_by_its_name_in_the_contract(name: str, value: object, path: str) -> None:
    with pytest.raises(InvalidValue, match="must lie between") as refused:
        Overrides(**{name: value})  # type: ignore[arg-type]

    assert refused.value.field == path


@pytest.mark.parametrize(("count", "period"), [(0, SECOND), (-1, SECOND), (1, timedelta(0))])
def test_a_rate_that_would_start_nothing_is_refused(count: int, period: timedelta) -> None:
    with pytest.raises(InvalidValue, match=r"^rate_limit must be at least 1 job and 1 ms$"):
        RateLimit(count=count, period=period)
