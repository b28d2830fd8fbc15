"""Moments and spans: Google's in the contract, Python's inside. The service counts in whole milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.engine.errors import InvalidValue

Span = TypeVar("Span", timedelta, timedelta | None)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799  # s: the years 1 to 9999, as protobuf has them
_LONGEST = 315_576_000_000  # s: 10,000 years
_NANOS = range(1_000_000_000)


def span(message: Message, field: str, absent: Span, *, path: str = "") -> Span:
    """A Duration field, or `absent`. Raises InvalidValue, under the name `path` if it is not that of the field."""
    if not message.HasField(field):
        return absent
    given: Any = getattr(message, field)
    if not (0 <= given.seconds <= _LONGEST and given.nanos in _NANOS):
        raise InvalidValue(path or field, "must not be negative, nor beyond what protobuf calls a duration")
    # Rounded up: a wait is never shorter than it was asked for.
    return timedelta(seconds=given.seconds, milliseconds=-(-given.nanos // 1_000_000))


def moment(message: Message, field: str) -> datetime | None:
    """A Timestamp field. Raises InvalidValue."""
    if not message.HasField(field):
        return None
    given: Any = getattr(message, field)
    if not (_EARLIEST <= given.seconds <= _LATEST and given.nanos in _NANOS):
        raise InvalidValue(field, "must lie in the years 1 to 9999")
    return _EPOCH + timedelta(seconds=given.seconds, milliseconds=given.nanos // 1_000_000)


def duration(given: timedelta) -> Duration:
    return Duration(seconds=given.days * 86_400 + given.seconds, nanos=given.microseconds * 1000)


def timestamp(given: datetime) -> Timestamp:
    """`given` must be aware."""
    since = given - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)
