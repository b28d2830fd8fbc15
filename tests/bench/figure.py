"""One claim and what was measured of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`holds`: whether the measurement bears the claim out."""

    claim: str
    measured: str
    holds: bool

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}  {self.claim}: {self.measured}"


Measurement = Callable[[], Iterable[Figure]]


def spread(values: Iterable[float], unit: str) -> str:
    """Median and what lies around it."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"median {statistics.median(ordered):.2f} {unit}, p99 {p99:.2f}, max {ordered[-1]:.2f} (n = {len(ordered)})"
