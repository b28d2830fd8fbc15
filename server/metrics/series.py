"""What a series is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Its name and what it tells a person. `servers`: how what several servers tell becomes one figure."""

    name: str
    says: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE
    servers: Literal["max", "min", "sum"] = "max"

    @property
    def help(self) -> str:
        """As the page has it."""
        labels = (*self.labels, "le") if self.kind is Kind.HISTOGRAM else self.labels
        by = f" by ({', '.join(labels)})" if labels else ""
        return f"{self.says} Several servers: {self.servers}{by}."
