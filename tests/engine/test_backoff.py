"""How long a failed job waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.backoff import Backoff, BackoffKind
from server.engine.errors import InvalidValue

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)

rolls = st.floats(0, 1, exclude_max=True)
spans = st.timedeltas(timedelta(milliseconds=1), 30 * DAY)


@st.composite
def backoffs(draw: st.DrawFn) -> Backoff:
    initial, longest = sorted([draw(spans), draw(spans)])
    return Backoff(
        kind=draw(st.sampled_from(BackoffKind)),
        initial=initial,
        longest=longest,
        multiplier=draw(st.floats(1, 100)),
        jitter=draw(st.floats(0, 1)),
    )


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        (BackoffKind.EXPONENTIAL, [2, 4, 8, 16, 30, 30]),
        (BackoffKind.LINEAR, [2, 4, 6, 8, 10, 12]),
        (BackoffKind.FIXED, [2, 2, 2, 2, 2, 2]),
    ],
)
def test_waits_grow_by_their_kind_up_to_the_longest(kind: BackoffKind, waits: list[int]) -> None:
    backoff = Backoff(kind=kind, initial=2 * SECOND, longest=30 * SECOND)

    assert [backoff.delay_after(n, roll=0) / SECOND for n in range(1, 7)] == waits


def test_jitter_leaves_its_part_of_the_wait_to_chance() -> None:
    backoff = Backoff(initial=8 * SECOND, jitter=0.5)

    assert [backoff.delay_after(1, roll=roll) / SECOND for roll in (0, 0.5, 1)] == [8, 6, 4]


@given(backoffs(), st.integers(1, 10_000), rolls)
def test_a_wait_lies_between_nothing_and_the_longest(backoff: Backoff, failures: int, roll: float) -> None:
    assert timedelta(0) <= backoff.delay_after(failures, roll=roll) <= backoff.longest


@given(backoffs(), st.integers(1, 200), rolls)
def test_a_wait_never_shrinks_with_more_failures(backoff: Backoff, failures: int, roll: float) -> None:
    assert backoff.delay_after(failures, roll=roll) <= backoff.delay_after(failures + 1, roll=roll)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"initial": timedelta(0)}, "backoff.initial"),
        ({"initial": 31 * DAY}, "backoff.initial"),
        ({"longest": SECOND}, "backoff.max"),
        ({"longest": 31 * DAY}, "backoff.max"),
        ({"multiplier": 0.9}, "backoff.multiplier"),
        ({"multiplier": 101.0}, "backoff.multiplier"),
        ({"jitter": -0.1}, "backoff.jitter"),
        ({"jitter": 1.1}, "backoff.jitter"),
        ({"jitter": float("nan")}, "backoff.jitter"),
    ],
)
def test_a_rule_out_of_range_is_refused_by_the_name_of_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Backoff(**fields)

    assert refusal.value.field == field
