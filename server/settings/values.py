"""The values of settings, where they are more than numbers and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

_HIGHEST_PORT = 65535
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,15})?")
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[^:]*)):(?P<port>[0-9]{1,5})")
_RATE = re.compile(r"(?P<count>[0-9]{1,9})/(?P<number>[0-9]{0,9})(?P<unit>ms|s|m|h|d)")
_DURATION = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>ms|s|m|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where something listens. Port 0 lets the system choose one."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError("must name a host by letters, digits, dots and hyphens, or by its IP address")
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise ValueError(f"must have a port from 0 to {_HIGHEST_PORT}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `host:port`; an IPv6 address stands in brackets."""
        match = _ADDRESS.fullmatch(text)
        if not match:
            raise ValueError("must be a host and a port, such as 127.0.0.1:8080 or [::1]:8080")
        return cls(host=match["ipv6"] or match["host"], port=int(match["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At most `count` jobs start within each `period`."""

    count: int
    period: timedelta

    def __post_init__(self) -> None:
        if self.count < 1 or self.period <= timedelta(0):
            raise ValueError("must have a count and a period above zero")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `100/60s`, and `5/s` for `5/1s`."""
        match = _RATE.fullmatch(text)
        if not match:
            raise ValueError("must be a count and a period, such as 100/60s or 5/s (units: ms, s, m, h, d)")
        return cls(count=int(match["count"]), period=_span(match["number"] or "1", match["unit"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long, and how many, finished jobs are kept: whichever is passed first removes the oldest."""

    age: timedelta
    count: int


def duration(text: str) -> timedelta:
    """Reads `500ms`, `10s`, `5m`, `24h`, `30d`."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("must be a duration, such as 500ms, 10s, 5m, 24h or 30d")
    return _span(match["number"], match["unit"])


def _span(number: str, unit: str) -> timedelta:
    try:
        return int(number) * _UNITS[unit]
    except OverflowError:
        raise ValueError("must be shorter than that") from None
