"""Hides a job's secrets in what is written down about it: an exception's words may repeat the payload."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from server.engine.job import LeasedJob

_SHOWN_INSTEAD = "***"


def veiled(text: str, job: LeasedJob) -> str:
    """The text without the job's secrets, as they are or as they stand in a repr, in JSON or in a URL."""
    # The longest first, or what is left of it when a part was replaced would show.
    for secret in sorted(_forms_of_secrets(job), key=len, reverse=True):
        text = text.replace(secret, _SHOWN_INSTEAD)
    return text


def _forms_of_secrets(job: LeasedJob) -> set[str]:
    if job.payload == job.request.payload:
        return set()
    return {form for secret in _secrets(job) for form in _forms(secret) if form}


def _secrets(job: LeasedJob) -> Iterator[str]:
    exact, shown = _members(job.payload), _members(job.request.payload)
    for name, value in exact.items():
        if shown.get(name) != value:
            yield from _texts(value)


def _members(payload: bytes) -> dict[str, Any]:
    try:
        members = msgspec.json.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _texts(value: object) -> Iterator[str]:
    """Every text and number in it."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _forms(secret: str) -> tuple[str, ...]:
    return secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")
