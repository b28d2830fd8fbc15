"""rpcs.md: the whole contract, one section for each service."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docs.reference import markdown
from docs.reference.contract import Contract, Enum, Message, Service

_HEAD = """
# Rpcs

<!-- Made from protos/ by `make reference`: what is wrong here is wrong there. -->

In JSON, as grpcurl takes and shows it, a `Duration` is `"1.5s"`, a `Timestamp` is `"2026-11-24T06:16:19Z"` and an
`int64` is text; what is absent there is zero, empty or false.

An error is a `google.rpc.Status`; the `reason` of its `google.rpc.ErrorInfo`, whose `domain` is `cabrank`, is one of
[these](#errorreason).
"""
# Where the next clause of a comment begins.
_CLAUSE = re.compile(r"\n(?=State: |Refused: |May be repeated|Repeated, )")
_REASONS = "ErrorReason"


def page() -> str:
    """The same contract gives the same text."""
    return markdown.page(_HEAD, *_Parts(Contract.compiled()).all())


class _Parts:
    """Of the page. A request and a response stand where their rpc does, every other message by itself."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._messages = {message.name: message for message in contract.messages}
        self._linked = {*self._messages, *(enum.name for enum in contract.enums)}

    def all(self) -> Iterator[str]:
        yield self._contents()
        for service in self._contract.services:
            yield from self._service(service)
        yield "## Messages"
        for message in self._shared():
            yield from self._message(message, level=3)
        yield "## Enums"
        for enum in self._contract.enums:
            yield from _reasons(enum) if enum.name == _REASONS else _values(enum)

    def _contents(self) -> str:
        rows = [
            (
                markdown.link(service.name, service.name),
                ", ".join(markdown.link(rpc.name, f"{service.name}.{rpc.name}") for rpc in service.rpcs),
            )
            for service in self._contract.services
        ]
        return markdown.table(("service", "rpcs"), rows)

    def _service(self, service: Service) -> Iterator[str]:
        yield f"## {service.name}"
        yield f"`{service.package}.{service.name}`"
        yield from _clauses(service.says)
        for rpc in service.rpcs:
            yield f"### {service.name}.{rpc.name}"
            yield from _clauses(rpc.says)
            yield from self._message(self._messages[rpc.request], level=4)
            yield from self._message(self._messages[rpc.response], level=4)
            if rpc.streams:
                yield "Streamed, one after the other."

    def _shared(self) -> list[Message]:
        own = {
            name for service in self._contract.services for rpc in service.rpcs for name in (rpc.request, rpc.response)
        }
        return [message for message in self._contract.messages if message.name not in own]

    def _message(self, message: Message, *, level: int) -> Iterator[str]:
        yield f"{'#' * level} {message.name}"
        yield markdown.prose(message.says)
        if message.fields:
            rows = [(f"`{field.name}`", self._type(field.type), field.says) for field in message.fields]
            yield markdown.table(("field", "type", "what"), rows)

    def _type(self, text: str) -> str:
        *_, name = re.findall(r"\w+", text)
        return markdown.link(f"`{text}`", name) if name in self._linked else f"`{text}`"


def _clauses(says: str) -> Iterator[str]:
    """What happens, then the list of what else is to be known."""
    happens, *others = _CLAUSE.split(says)
    yield from (happens, markdown.bullets(others))


def _values(enum: Enum) -> Iterator[str]:
    yield f"### {enum.name}"
    yield markdown.prose(enum.says)
    yield markdown.table(("value", "what"), [(f"`{value.name}`", value.says) for value in enum.values])


def _reasons(enum: Enum) -> Iterator[str]:
    """By the names that an error bears; each one's comment opens with its status code."""
    yield f"### {enum.name}"
    yield markdown.prose(enum.says)
    told = [(value.name.removeprefix("ERROR_REASON_"), *value.says.split(". ", 1)) for value in enum.values[1:]]
    yield markdown.table(("reason", "code", "what"), [(f"`{name}`", f"`{code}`", what) for name, code, what in told])
