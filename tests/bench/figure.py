"""One claim and what was measured of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
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


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def p99(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def spread(values: Sequence[float], unit: str) -> str:
    """Median and what lies around it."""
    return f"median {median(values):.2f} {unit}, p99 {p99(values):.2f}, max {max(values):.2f} (n = {len(values)})"


def timed(call: Callable[[], object]) -> float:
    """How long it took, in ms."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
