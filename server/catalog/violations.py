"""Why a payload was refused. msgspec stops at the first fault; a caller wants to know all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from server.catalog.errors import Violation
from server.catalog.names import nearest
from server.catalog.text import as_text
from server.catalog.twins import refuse_twins, twins_of

# What reading JSON may end with. UnicodeDecodeError is a ValueError.
REFUSALS = (msgspec.MsgspecError, ValueError, RecursionError)

_MOST = 50  # how many fields are wrong is the caller's choice
_MOST_NAME = 100
_PLACE = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")


def violations(payload_json: bytes, kind: type[msgspec.Struct], refusal: Exception) -> list[Violation]:
    """One per wrong field; the refusal itself where no single field is to blame."""
    found = list(islice(_faults_of_object(payload_json, kind, "payload"), _MOST))
    return found or [_violation("payload", refusal)]


def _faults_of_object(text: bytes, kind: type[msgspec.Struct], path: str) -> Iterator[Violation]:
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        twins = twins_of(text)
    except REFUSALS as refusal:
        yield _violation(path, refusal)
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in fields.items():
        if name in members:
            yield from _faults_of_value(bytes(members[name]), field.type, f"{path}.{name}")
        elif field.required:
            yield Violation(field=f"{path}.{name}", message="is missing")
    for name in twins:
        yield Violation(field=f"{path}.{_shown(name)}", message="is given more than once")
    for name in members:
        if name not in fields and name != kind.__struct_config__.tag_field:
            yield Violation(field=f"{path}.{_shown(name)}", message=_unknown(name, list(fields)))


def _faults_of_value(text: bytes, kind: Any, path: str) -> Iterator[Violation]:
    try:
        msgspec.json.decode(text, type=kind, dec_hook=as_text)
        refuse_twins(text)
    except REFUSALS as refusal:
        struct = _struct_of(kind)
        inside = _faults_of_object(text, struct, path) if struct and text.startswith(b"{") else ()
        yield from list(islice(inside, _MOST)) or [_violation(path, refusal)]


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a value of this type is, where there is only one that it can be."""
    alternatives = get_args(kind) if get_origin(kind) in (Annotated, Union, UnionType) else (kind,)
    structs = [each for each in alternatives if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return structs[0] if len(structs) == 1 else None


def _violation(path: str, refusal: Exception) -> Violation:
    """What was said about the value at `path`, or about a place inside it."""
    text = str(refusal)
    place = _PLACE.search(text)
    if not place:
        return Violation(field=path, message=_phrase(refusal, text))
    return Violation(field=path + place["path"], message=_phrase(refusal, text[: place.start()]))


def _phrase(refusal: Exception, text: str) -> str:
    """What was said, so that it goes on after the field's name and repeats no value."""
    if isinstance(refusal, RecursionError):
        return "is nested too deeply"
    if isinstance(refusal, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(refusal, msgspec.DecodeError) and not isinstance(refusal, msgspec.ValidationError):
        return f"is not JSON: {text.removeprefix('JSON is malformed: ').lower()}"
    if text.startswith(("Invalid enum value", "Invalid value")):
        return "must be one of the allowed values"
    return text.replace("Expected ", "must be ", 1).replace(", got ", ", not ", 1)


def _unknown(name: str, fields: list[str]) -> str:
    near = nearest(name, fields)
    return "is not a field of this task" + (f": did you mean {near[0]}?" if near else "")


def _shown(name: str) -> str:
    """A name that the caller chose: short and on one line."""
    clipped = name[:_MOST_NAME]
    return clipped if clipped.isprintable() else repr(clipped)
