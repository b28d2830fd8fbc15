"""What the door refuses by itself, before the engine is asked.

RequestError
├── InvalidRequest     fields are wrong; each is named
├── PayloadTooLarge
├── BatchTooLarge
├── MalformedRequest   no message of this rpc at all
├── OutOfTime          the deadline
└── ItemRefused        one item of a batch is the reason; `cause` says which
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from server.catalog import Violation
from server.engine.admit import BATCH_LIMIT
from server.engine.errors import Conflict
from server.engine.job import PAYLOAD_LIMIT

BATCH_BYTES = 4 * 1024 * 1024


class RequestError(Exception):
    """The root of what the door refuses."""


class InvalidRequest(RequestError):
    """At least one field is missing, malformed or out of range."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = tuple(violations)

    def __str__(self) -> str:
        first, *others = self.violations
        return f"{first} (and {len(others)} more)" if others else str(first)


class PayloadTooLarge(RequestError):
    """The payload's JSON text is over the limit. It was not looked into."""

    field = "payload"
    limits: ClassVar = {"limit_bytes": PAYLOAD_LIMIT}

    def __str__(self) -> str:
        return f"{self.field} must not be larger than {PAYLOAD_LIMIT // 1024} KiB of JSON text"


class BatchTooLarge(RequestError):
    """The batch is over one of its limits: it must be split."""

    limits: ClassVar = {"limit_jobs": BATCH_LIMIT, "limit_bytes": BATCH_BYTES}

    def __str__(self) -> str:
        return f"a batch must not have more than {BATCH_LIMIT:,} jobs or {BATCH_BYTES // 1024**2} MiB"


class MalformedRequest(RequestError):
    """Bytes came that are no message of this rpc."""

    def __str__(self) -> str:
        return "the request is no message of this rpc"


class OutOfTime(RequestError):
    """The deadline of the call is over, or too near to begin. A write that was begun may have happened."""

    def __str__(self) -> str:
        return "the deadline leaves no time for an answer"


class ItemRefused(RequestError):
    """The whole batch is refused because of one item, counted from 0."""

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(index, cause)
        self.index = index
        self.cause = cause

    def __str__(self) -> str:
        return f"jobs[{self.index}]: {self.cause}"


@contextmanager
def items_named() -> Iterator[None]:
    """Inside, what the engine refuses is one job of a batch, and is named."""
    try:
        yield
    except Conflict as refusal:
        raise ItemRefused(refusal.index, refusal) from refusal
