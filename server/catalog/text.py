"""Texts that a payload may hold: each is a str that refuses wrong content, with a phrase for the caller."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

# A reader of mail headers decodes these (RFC 2047), and what comes out may be a line break.
ENCODED_WORD = re.compile(r"=\?.*\?=")

# Every kind of line break, the other control characters, and those that turn the direction of writing.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]+")


class Text(str):
    """A text of 1 to `most` characters."""

    __slots__ = ()
    most: ClassVar[int] = 100

    def __new__(cls, text: str) -> Self:
        """Raises ValueError with a phrase such as "must be one line"."""
        if not 1 <= len(text) <= cls.most:
            raise ValueError(f"must have 1 to {cls.most} characters, not {len(text)}")
        if fault := cls.fault(text):
            raise ValueError(fault)
        return super().__new__(cls, text)

    @classmethod
    def fault(cls, _text: str, /) -> str | None:
        """What is wrong with a text of fitting length: a phrase for the caller, which never repeats the text."""
        return None


class Line(Text):
    """One line that may stand in a mail's header."""

    __slots__ = ()

    @classmethod
    def fault(cls, text: str, /) -> str | None:
        if text.isspace():
            return "must not be blank"
        if _CONTROL.search(text):
            return "must be one line without control characters"
        if ENCODED_WORD.search(text):
            return "must not hold an encoded word (=?…?=)"
        return None


class Identifier(Text):
    """The id of something that the calling backend keeps."""

    __slots__ = ()

    @classmethod
    def fault(cls, text: str, /) -> str | None:
        return None if _IDENTIFIER.fullmatch(text) else "must hold only ASCII letters, digits and . _ : -"


def as_text(kind: type, value: Any) -> Any:
    """The value of a field that has a text of one's own as its type: msgspec asks here for these alone."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 -- msgspec passes on ValueError as the field's fault
    return kind(value)
