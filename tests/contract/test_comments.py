"""The contract is its own manual: what a caller must know stands at the rpc and at the reason."""

import re
from collections.abc import Iterator, Sequence

import grpc
from cabrank.v1.error_pb2 import ErrorReason
from google.protobuf.descriptor_pb2 import FileDescriptorProto

# A comment is found by its path of field numbers in descriptor.proto.
_SERVICE, _RPC = 6, 2
_ENUM, _VALUE = 5, 2

_WORD = re.compile(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b")


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {tuple(place.path): place.leading_comments for place in file.source_code_info.location}


def _rpcs(contract: Sequence[FileDescriptorProto]) -> Iterator[tuple[str, str]]:
    """Each rpc with its comment and that of its service, which speaks for all of them."""
    for file in contract:
        comments = _comments(file)
        for s, service in enumerate(file.service):
            for r, rpc in enumerate(service.method):
                yield f"{service.name}.{rpc.name}", comments[_SERVICE, s] + comments[_SERVICE, s, _RPC, r]


def test_every_rpc_says_when_it_is_refused_and_whether_it_may_be_repeated(
    contract: Sequence[FileDescriptorProto],
) -> None:
    duties = ("Refused:", "May be repeated")

    silent = [(name, duty) for name, text in _rpcs(contract) for duty in duties if duty not in text]

    assert silent == []


def test_every_refusal_that_an_rpc_names_is_a_reason(contract: Sequence[FileDescriptorProto]) -> None:
    callers = [file for file in contract if file.package == "cabrank.v1"]
    reasons = {value.name.removeprefix("ERROR_REASON_") for value in ErrorReason.DESCRIPTOR.values}

    refusals = {
        (name, word)
        for name, text in _rpcs(callers)
        for clause in re.findall(r"Refused: (.*?)May be repeated", text, re.DOTALL)
        for word in _WORD.findall(clause)
    }

    assert {name for name, _ in refusals} == {name for name, _ in _rpcs(callers)}
    assert {(name, word) for name, word in refusals if word not in reasons} == set()


def test_every_reason_opens_with_its_status_code(contract: Sequence[FileDescriptorProto]) -> None:
    (file,) = (file for file in contract if file.name.endswith("error.proto"))
    comments = _comments(file)
    codes = {code.name for code in grpc.StatusCode}

    opening = {
        value.name: comments[_ENUM, 0, _VALUE, v].split(".")[0].strip()
        for v, value in enumerate(file.enum_type[0].value)
        if value.number != 0
    }

    assert {name: word for name, word in opening.items() if word not in codes} == {}
