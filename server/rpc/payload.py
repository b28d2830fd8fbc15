"""A payload as JSON text: taken as it is, or made of a Struct."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from cabrank.v1.queue_pb2 import EnqueueRequest
from google.protobuf.struct_pb2 import Struct, Value

from server.engine.errors import InvalidValue
from server.engine.job import PAYLOAD_LIMIT
from server.rpc.errors import PayloadTooLarge

# From 2^53 on a double stands for several whole numbers: which one was meant cannot be told any more.
_FIRST_INEXACT = 2.0**53
# No value takes more than six times as many bytes in a Struct as in JSON: a larger one need not be converted.
_STRUCT_LIMIT = 6 * PAYLOAD_LIMIT


def payload_text(request: EnqueueRequest) -> bytes:
    """JSON text, not yet checked against its task; an object without fields where the request has none.

    Raises InvalidValue or PayloadTooLarge.
    """
    if request.HasField("payload_json"):
        if request.HasField("payload"):
            raise InvalidValue("payload", "and payload_json cannot be given together")
        return _limited(request.payload_json.encode())
    if not request.HasField("payload"):
        return b"{}"
    if request.payload.ByteSize() > _STRUCT_LIMIT:
        raise PayloadTooLarge
    # Sorted: a map's order changes on the way, and the same request has to lead to the same text.
    return _limited(msgspec.json.encode(_object(request.payload, "payload"), order="sorted"))


def _limited(text: bytes) -> bytes:
    if len(text) > PAYLOAD_LIMIT:
        raise PayloadTooLarge
    return text


def _object(struct: Struct, path: str) -> dict[str, Any]:
    return {name: _value(value, f"{path}.{name}") for name, value in struct.fields.items()}


def _value(value: Value, path: str) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return _number(value.number_value, path)
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _object(value.struct_value, path)
        case "list_value":
            return [_value(each, f"{path}[{n}]") for n, each in enumerate(value.list_value.values)]
    return None


def _number(number: float, path: str) -> int | float:
    """A Struct has only doubles, but 3 is written 3 and not 3.0: a task that wants a whole number gets one."""
    if not math.isfinite(number):
        raise InvalidValue(path, "must be a finite number")
    if abs(number) >= _FIRST_INEXACT:
        raise InvalidValue(path, "is beyond what a Struct can say exactly (2^53): send the payload as payload_json")
    return int(number) if number.is_integer() else number
