"""Everything that is wrong with one request, gathered: a caller mends all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import Message

from server.catalog import InvalidPayload, Violation
from server.engine.errors import InvalidValue
from server.rpc import times
from server.rpc.errors import InvalidRequest
from server.rpc.times import Span

T = TypeVar("T")


class Faults:
    """Reads parts of a request; where one is wrong, notes it and goes on with a stand-in.

    `at` goes before every path: `jobs[17].`. `typed`: the payload's fields are those of the request itself.
    """

    def __init__(self, *, typed: bool = False) -> None:
        self.at = ""
        self._typed = typed
        self._violations: list[Violation] = []

    def add(self, field: str, message: str) -> None:
        path = field.removeprefix("payload.") if self._typed else field
        self._violations.append(Violation(field=self.at + path, message=message))

    def of(self, read: Callable[[], T], *, instead: T) -> T:
        """What `read` gives; `instead` where it is refused."""
        try:
            return read()
        except InvalidValue as refusal:
            self.add(refusal.field, refusal.rule)
        except InvalidPayload as refusal:
            for violation in refusal.violations:
                self.add(violation.field, violation.message)
        return instead

    def span(self, message: Message, field: str, absent: Span) -> Span:
        return self.of(lambda: times.span(message, field, absent), instead=absent)

    def moment(self, message: Message, field: str) -> datetime | None:
        return self.of(lambda: times.moment(message, field), instead=None)

    def refuse(self) -> None:
        """Raises InvalidRequest when anything was noted."""
        if self._violations:
            raise InvalidRequest(self._violations)
