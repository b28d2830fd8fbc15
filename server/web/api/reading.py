"""How requests become values: every wrong field is named at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

from server.catalog import Violation
from server.catalog.names import nearest
from server.catalog.twins import TwinNames, refuse_twins
from server.web.api.errors import BODY_LIMIT, BodyTooLarge, InvalidFields, NotJson
from server.web.api.shape import Shape

Asked = TypeVar("Asked", bound=Shape)

_MOST_NAME = 100
_MOST_UNKNOWN = 20  # names: how many there are is the caller's choice, and each is compared to those that are known
_OFFSETS = "is not taken, for jobs move meanwhile: ask for a limit, then with the answer's nextPageToken as pageToken"
# What scripts for BullMQ may say, and is said differently here.
_SAID_OTHERWISE = {
    **dict.fromkeys(("start", "end", "page", "offset"), _OFFSETS),
    **dict.fromkeys(("state", "type"), "is called status here"),
    "asc": "is called order here: oldest or newest",
    "count": "is called limit here",
}


def from_path(request: Request, kind: type[Asked]) -> Asked:
    """Raises InvalidFields."""
    return _read(request.path_params, kind, text=True)


def from_query(query: QueryParams, kind: type[Asked]) -> Asked:
    """Raises InvalidFields."""
    twins = sorted({name for name in query if len(query.getlist(name)) > 1})[:_MOST_UNKNOWN]
    if twins:
        raise InvalidFields([Violation(field=_shown(name), message="is given more than once") for name in twins])
    return _read(dict(query), kind, text=True)


async def from_body(request: Request, kind: type[Asked]) -> Asked:
    """No body is an empty object. Raises InvalidFields, BodyTooLarge, NotJson."""
    body = await _body(request)
    if not body:
        return _read({}, kind, text=False)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise NotJson
    try:
        refuse_twins(body)
        members = {name: _whole(value) for name, value in msgspec.json.decode(body, type=dict[str, Any]).items()}
    except (msgspec.MsgspecError, TwinNames, ValueError, RecursionError) as refusal:
        raise InvalidFields([Violation(field="body", message=_no_object(refusal))]) from None
    return _read(members, kind, text=False)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                raise BodyTooLarge
    except ClientDisconnect:
        raise InvalidFields([Violation(field="body", message="was cut off")]) from None
    return bytes(body)


def _whole(value: Any) -> Any:
    """JSON does not tell 100.0 from 100."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _no_object(refusal: Exception) -> str:
    return "holds an object with the same name twice" if isinstance(refusal, TwinNames) else "must be a JSON object"


def _read(given: Mapping[str, Any], kind: type[Asked], *, text: bool) -> Asked:
    """`text`: numbers and words come as text."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = islice((name for name in given if name not in fields), _MOST_UNKNOWN)
    faults = [Violation(field=_shown(name), message=_unknown(name, list(fields))) for name in unknown]
    values = {}
    for name, field in fields.items():
        try:
            if name in given:
                values[field.name] = msgspec.convert(given[name], field.type, strict=not text)
            elif field.required:
                faults.append(Violation(field=name, message=_missing(field)))
        except msgspec.ValidationError as refusal:
            faults.append(Violation(field=name, message=_phrase(str(refusal), field)))
    if faults:
        raise InvalidFields(faults)
    return kind(**values)


def _unknown(name: str, known: Sequence[str]) -> str:
    if name in _SAID_OTHERWISE:
        return _SAID_OTHERWISE[name]
    near = nearest(name, known)
    return "is not known here" + (f": did you mean {near[0]}?" if near else "")


def _missing(field: FieldInfo) -> str:
    choices = _choices(field)
    return "is missing" + (f": {choices}" if choices else "")


def _phrase(refusal: str, field: FieldInfo) -> str:
    """What msgspec says, so that it goes on after the field's name."""
    if refusal.startswith("Invalid enum value"):
        return _choices(field)
    if refusal.startswith("Invalid RFC3339"):
        return "must be a moment such as 2030-01-31T08:00:00Z, or milliseconds since 1970"
    return refusal.replace("Expected ", "must be ", 1).replace(", got ", ", not ", 1).replace("`", "")


def _choices(field: FieldInfo) -> str:
    """The words that it may be, if it may not be any."""
    words = _words(field.type)
    return f"must be {', '.join(words[:-1])} or {words[-1]}" if words else ""


def _words(kind: Any) -> list[str]:
    if isinstance(kind, type):
        return [str(word) for word in getattr(kind, "__members__", {}).values()]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [word for each in get_args(kind) for word in _words(each)]


def _shown(name: str) -> str:
    """A name that the caller chose: short and on one line."""
    clipped = name[:_MOST_NAME]
    return clipped if clipped.isprintable() else repr(clipped)
