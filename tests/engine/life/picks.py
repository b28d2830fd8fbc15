"""One of what there is, by a number: it is drawn before anybody knows how much there is."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

picks = st.integers(0, 10_000)
some_picks = st.lists(picks, min_size=1, max_size=3, unique=True)


def pick(things: list[T], number: int) -> T:
    return things[number % len(things)]
