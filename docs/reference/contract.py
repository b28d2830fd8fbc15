"""The contract as its .proto files have it: with the comments, which the stubs leave out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Self

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

_PROTOS = Path(__file__).parents[2] / "protos"
# A comment is found by its path of field numbers in descriptor.proto.
_PACKAGE, _MESSAGE, _ENUM, _SERVICE = 2, 4, 5, 6
_PART = 2  # a field of a message, a value of an enum, an rpc of a service


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Of a message. `type` is as the .proto has it: `repeated Job`, `map<string, string>`."""

    name: str
    type: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    name: str
    says: str
    fields: list[Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Of an enum."""

    name: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    name: str
    says: str
    values: list[Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """`request` and `response` are names of messages."""

    name: str
    says: str
    request: str
    response: str
    streams: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    package: str
    says: str
    rpcs: list[Rpc]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All packages; no name stands twice in them."""

    services: list[Service]
    messages: list[Message]
    enums: list[Enum]

    @classmethod
    def compiled(cls) -> Self:
        """Raises subprocess.CalledProcessError when protoc refuses it."""
        files = [_File(file) for file in _descriptors()]
        return cls(
            services=[service for file in files for service in file.services()],
            messages=[message for file in files for message in file.messages()],
            enums=[enum for file in files for enum in file.enums()],
        )


class _File:
    """One .proto file and its comments."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {tuple(at.path): dedent(at.leading_comments).strip() for at in file.source_code_info.location}

    def services(self) -> Iterator[Service]:
        for s, service in enumerate(self._file.service):
            rpcs = [
                Rpc(
                    name=rpc.name,
                    says=self._comments[_SERVICE, s, _PART, r],
                    request=_last(rpc.input_type),
                    response=_last(rpc.output_type),
                    streams=rpc.server_streaming,
                )
                for r, rpc in enumerate(service.method)
            ]
            says = self._comments[_SERVICE, s]
            yield Service(name=service.name, package=self._file.package, says=says, rpcs=rpcs)

    def messages(self) -> Iterator[Message]:
        for m, message in enumerate(self._file.message_type):
            fields = [
                Field(name=field.name, type=_type(field, message), says=self._comments[_MESSAGE, m, _PART, f])
                for f, field in enumerate(message.field)
            ]
            yield Message(name=message.name, says=self._comments[_MESSAGE, m], fields=fields)

    def enums(self) -> Iterator[Enum]:
        for e, enum in enumerate(self._file.enum_type):
            values = [
                Value(name=value.name, says=self._comments[_ENUM, e, _PART, v]) for v, value in enumerate(enum.value)
            ]
            yield Enum(name=enum.name, says=self._comments[_ENUM, e], values=values)


def _descriptors() -> list[FileDescriptorProto]:
    """Our own side first, then the platform's, which lies deeper; in an order that no machine decides."""
    found = [proto.relative_to(_PROTOS).as_posix() for proto in _PROTOS.glob("cabrank/**/*.proto")]
    protos = sorted(found, key=lambda name: (name.count("/"), name))
    options = ["-I.", "--include_source_info", "--descriptor_set_out=/dev/stdout"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", *options, *protos]
    compiled = subprocess.run(protoc, cwd=_PROTOS, stdout=subprocess.PIPE, check=True)  # noqa: S603 - nothing of it comes from outside
    return sorted(FileDescriptorSet.FromString(compiled.stdout).file, key=lambda file: protos.index(file.name))


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    maps = {entry.name: entry.field for entry in message.nested_type}
    if (entry := maps.get(_plain(field))) is not None:
        return f"map<{', '.join(map(_plain, entry))}>"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return ("repeated " if repeated else "optional " if field.proto3_optional else "") + _plain(field)


def _plain(field: FieldDescriptorProto) -> str:
    """Its type, however often it stands there: `string`, `Job`."""
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return _last(field.type_name) or scalar


def _last(name: str) -> str:
    return name.rpartition(".")[2]
