"""The forms in which values stand in Redis. Only `record` writes them, only `reading` reads them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

NORMAL_BAND = 100  # of the line; a higher priority stands in a lower band


class BackoffForm(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    initial_ms: int
    longest_ms: int
    multiplier: float
    jitter: float


class SettingsForm(msgspec.Struct, array_like=True, frozen=True):
    max_attempts: int
    timeout_ms: int
    backoff: BackoffForm
    unique_key: str | None
    labels: Mapping[str, str]


class ErrorForm(msgspec.Struct, array_like=True, frozen=True):
    type: str
    message: str
    stack_trace: str = ""


class AttemptForm(msgspec.Struct, array_like=True, frozen=True):
    number: int
    token: str
    started: int
    ended: int
    outcome: str
    error: ErrorForm | None


class ProgressForm(msgspec.Struct, array_like=True, frozen=True):
    at: int
    percent: float
    message: str


class LogLineForm(msgspec.Struct, array_like=True, frozen=True):
    at: int
    attempt: int
    text: str


class FailureForm(msgspec.Struct, frozen=True):
    reason: str
    message: str


class CrewForm(msgspec.Struct, frozen=True):
    """What a worker says of itself."""

    tasks: list[str]
    threads: int
    started: int  # ms
