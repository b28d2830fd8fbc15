"""What requests and answers are made of: JSON objects whose every field says what it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec import Meta, Struct

from server.engine.moments import epoch_ms, milliseconds


class Shape(Struct, frozen=True, rename="camel"):
    """Moments are ms since 1970, spans ms: as BullMQ has them."""


def says(description: str, *, must_be: str | None = None, **rules: Any) -> Meta:
    """What a field is, for its readers, and which rules of msgspec and of JSON Schema hold for it.

    `must_be`: the rules in words, where its type alone does not tell a person.
    """
    return Meta(description=description, extra={"must_be": must_be} if must_be else None, **rules)


def ms_at(moment: datetime | None) -> int | None:
    return None if moment is None else epoch_ms(moment)


def ms_of(span: timedelta | None) -> int | None:
    return None if span is None else milliseconds(span)
