"""What a task is given: from the bytes of a payload to its typed value, and to a copy without its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec
from msgspec import inspect

from server.catalog.errors import InvalidPayload
from server.catalog.text import as_text
from server.catalog.twins import refuse_twins
from server.catalog.violations import REFUSALS, violations

P = TypeVar("P", bound=msgspec.Struct)
Node = inspect.Type | inspect.Field

# Marks a field as secret: `code: Annotated[Code, SECRET]`. Its value shows in no listing, log or error.
SECRET = msgspec.Meta(extra={"secret": True})

_MASK = b'"***"'


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every payload type. The types of its fields say what is allowed, and nothing else is accepted.

    A field may have any type that msgspec knows, or a subclass of `Text`.
    """


class PayloadType(Generic[P]):
    """A payload type made ready to read payloads. Raises TypeError for one that lets things slip by."""

    def __init__(self, kind: type[P]) -> None:
        struct = inspect.type_info(kind)
        if not isinstance(struct, inspect.StructType):
            raise TypeError(f"is {kind.__name__}, but must be a Payload")
        for node in _nodes(struct, set()):
            _refuse_laxness(node)
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind, dec_hook=as_text)
        self._secret = frozenset(_secret_fields(struct))

    def decode(self, payload_json: bytes) -> P:
        """The typed value. Raises InvalidPayload with one violation per wrong field."""
        try:
            payload = self._decoder.decode(payload_json)
            refuse_twins(payload_json)
        except REFUSALS as refusal:
            raise InvalidPayload(violations(payload_json, self._kind, refusal)) from None
        return payload

    def mask(self, payload_json: bytes) -> bytes:
        """The payload with "***" for every secret field, and for one that holds a secret inside."""
        if not self._secret:
            return payload_json
        try:
            members = msgspec.json.decode(payload_json, type=dict[str, msgspec.Raw])
        except REFUSALS:
            return _MASK  # whatever this is, the secret may be in it
        members.update((name, msgspec.Raw(_MASK)) for name in self._secret & members.keys())
        return msgspec.json.encode(members)


def _nodes(part: object, seen: set[int]) -> Iterator[Node]:
    """Every type and field that a type is made of, itself included. It may contain itself."""
    if isinstance(part, tuple):
        for each in part:
            yield from _nodes(each, seen)
    elif isinstance(part, Node) and id(part) not in seen:
        seen.add(id(part))
        yield part
        yield from _nodes(tuple(msgspec.structs.asdict(part).values()), seen)


def _refuse_laxness(node: Node) -> None:
    if isinstance(node, inspect.StructType) and (node.array_like or not node.forbid_unknown_fields):
        raise TypeError(f"holds {node.cls.__name__}, which accepts unknown fields: derive it from Payload")
    if isinstance(node, inspect.DataclassType | inspect.TypedDictType):
        raise TypeError(f"holds {node.cls.__name__}, which accepts unknown fields: make it a Payload")
    if isinstance(node, inspect.CustomType) and not issubclass(node.cls, str):
        raise TypeError(f"holds {node.cls.__name__}, which is neither a type that msgspec knows nor a Text")


def _secret_fields(struct: inspect.StructType) -> Iterator[str]:
    for field in struct.fields:
        if any(_is_secret(node) for node in _nodes(field, set())):
            yield field.encode_name


def _is_secret(node: Node) -> bool:
    return isinstance(node, inspect.Metadata) and bool((node.extra or {}).get("secret"))
