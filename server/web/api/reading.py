"""How requests become values: every wrong field is named at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

from server.catalog import Violation
from server.catalog.names import nearest
from server.catalog.twins import TwinNames, refuse_twins
from server.web.api.errors import BODY_LIMIT, BodyTooLarge, InvalidFields, NotJson
from server.web.api.shape import Shape
from server.web.api.wording import demand

Asked = TypeVar("Asked", bound=Shape)

_MOST_NAME = 100
_MOST_UNKNOWN = 20  # names: how many there are is the caller's choice, and each is compared to those that are known
_IN_BODY = "goes into the body of a POST, which is JSON"
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


def refuse_query(query: QueryParams, body: type[Shape]) -> None:
    """Passed over, a limit or a dry run in the wrong place would be none. Raises InvalidFields."""
    known = [field.encode_name for field in msgspec.structs.fields(body)]
    faults = [
        Violation(field=_shown(name), message=_IN_BODY if name in known else _unknown(name, known))
        for name in islice(query, _MOST_UNKNOWN)
    ]
    if faults:
        raise InvalidFields(faults)


async def from_body(request: Request, kind: type[Asked]) -> Asked:
    """No body is an empty object. Raises InvalidFields, BodyTooLarge, NotJson."""
    body = await _body(request)
    if not body:
        return _read({}, kind, text=False)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise NotJson
    return _read(_members(body), kind, text=False)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                raise BodyTooLarge
    except ClientDisconnect:
        raise _wrong_body("was cut off") from None
    return bytes(body)


def _members(body: bytes) -> dict[str, Any]:
    """Raises InvalidFields."""
    try:
        refuse_twins(body)
        found = msgspec.json.decode(body)
    except TwinNames as refusal:
        raise _wrong_body(str(refusal)) from None
    except RecursionError:
        raise _wrong_body("is nested too deeply") from None
    except ValueError as refusal:  # of json, which looks first, of msgspec or of UTF-8: each says where
        raise _wrong_body(f"is not valid JSON: {refusal}") from None
    if not isinstance(found, dict):
        raise _wrong_body("must be a JSON object")
    return {name: _whole(value) for name, value in found.items()}


def _wrong_body(phrase: str) -> InvalidFields:
    return InvalidFields([Violation(field="body", message=phrase)])


def _whole(value: Any) -> Any:
    """JSON does not tell 100.0 from 100."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
                faults.append(Violation(field=name, message=f"is missing: {demand(field.type)}"))
        except msgspec.ValidationError:
            faults.append(Violation(field=name, message=demand(field.type, given[name])))
    if faults:
        raise InvalidFields(faults)
    return kind(**values)


def _unknown(name: str, known: Sequence[str]) -> str:
    if name in _SAID_OTHERWISE:
        return _SAID_OTHERWISE[name]
    near = nearest(name, known)
    return "is not known here" + (f": did you mean {near[0]}?" if near else "")


def _shown(name: str) -> str:
    """A name that the caller chose: short and on one line."""
    clipped = name[:_MOST_NAME]
    return clipped if clipped.isprintable() else repr(clipped)
