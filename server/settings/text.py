"""What the text of a variable may be. Each parser answers with the value, or raises ValueError: "must be …"."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from server.settings import values
from server.settings.declaration import Parse

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_WHOLE = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MAILBOX = re.compile(r'[^\x00-\x1f\x7f<>"]+ <[^\s<>@"]+@[^\s<>@"]+>|[^\s<>@"]+@[^\s<>@"]+')
_MODULES = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(,[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)*", re.ASCII)
# For a service named `redis`, Kubernetes itself sets REDIS_PORT=tcp://10.0.0.1:6379 in every pod.
_KUBERNETES_PORT = re.compile(r"tcp://.+:([0-9]{1,5})")


def optional(parse: Parse[T]) -> Parse[T | None]:
    """Absent is None; anything else is read by `parse`."""
    return lambda text: parse(text) if text else None


def flag(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return text.lower() in _TRUE


def choice(*words: Word) -> Parse[Word]:
    def parse(text: str) -> Word:
        for word in words:
            if text.lower() == word:
                return word
        raise ValueError(f"must be one of {', '.join(words)}")

    return parse


def whole(least: int, most: int) -> Parse[int]:
    def parse(text: str) -> int:
        if not (_WHOLE.fullmatch(text) and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def milliseconds(least: int, most: int) -> Parse[timedelta]:
    parse = whole(least, most)
    return lambda text: timedelta(milliseconds=parse(text))


def seconds(least: float, most: float) -> Parse[timedelta]:
    def parse(text: str) -> timedelta:
        if not (_DECIMAL.fullmatch(text) and least <= float(text) <= most):
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return timedelta(seconds=float(text))

    return parse


def duration(least: str, most: str) -> Parse[timedelta]:
    def parse(text: str) -> timedelta:
        if not values.duration(least) <= (span := values.duration(text)) <= values.duration(most):
            raise ValueError(f"must be a duration from {least} to {most}")
        return span

    return parse


def host(text: str) -> str:
    return values.Address(host=text, port=0).host


def port(text: str) -> int:
    injected = _KUBERNETES_PORT.fullmatch(text)
    return whole(1, 65535)(injected[1] if injected else text)


def line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text


def mailbox(text: str) -> str:
    if not _MAILBOX.fullmatch(text):
        raise ValueError("must be an address such as cabrank <no-reply@example.org>")
    return text


def link_base(text: str) -> str:
    """The URL without its trailing slash, so that a path can follow."""
    refusal = ValueError("must be an http or https URL without query, such as https://learn.example.org")
    try:
        url = urlsplit(text)
    except ValueError:
        raise refusal from None
    if url.scheme not in ("http", "https") or not url.hostname or set(text) & set("?# ") or not text.isprintable():
        raise refusal
    return text.rstrip("/")


def modules(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    names = text.replace(" ", "")
    if not _MODULES.fullmatch(names):
        raise ValueError("must be names of Python modules, separated by commas")
    return tuple(names.split(","))


def directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise ValueError("must be an existing directory")
    return Path(text)
