"""What a refusal is told with, beside its reason: google.rpc's messages, kept short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ResourceInfo, RetryInfo  # type: ignore[import-untyped]  # it has no stubs

from server.catalog import InvalidPayload, NotInCatalog, Violation
from server.engine.errors import Conflict, InvalidValue, JobNotFound
from server.rpc.errors import BatchTooLarge, InvalidRequest, PayloadTooLarge

# Details travel in trailers, of which clients take 8 KiB by default, and callers choose many of the words.
_MOST_VIOLATIONS = 10
_MOST_BYTES = 200  # of one text

# The second argument goes before the names of fields: `jobs[17].` in a batch, else nothing.
Details = Callable[[Any, str], Iterable[Message]]


def nothing(_error: Exception, _at: str) -> Iterable[Message]:
    return ()


def wrong_fields(error: InvalidRequest | InvalidPayload, at: str) -> Iterable[Message]:
    yield _bad_request(at, error.violations)


def wrong_value(error: InvalidValue, at: str) -> Iterable[Message]:
    yield _bad_request(at, [Violation(field=error.field, message=error.rule)])


def too_large(error: PayloadTooLarge, at: str) -> Iterable[Message]:
    yield _bad_request(at, [Violation(field=error.field, message=str(error))])


def not_in_catalog(error: NotInCatalog, at: str) -> Iterable[Message]:
    yield ResourceInfo(resource_type=error.kind, resource_name=short(error.name))
    yield _bad_request(at, [Violation(field=error.kind, message=str(error))])


def no_such_job(error: JobNotFound, _at: str) -> Iterable[Message]:
    yield ResourceInfo(resource_type="job", resource_name=error.job_id)


def taken(field: str) -> Details:
    """By another job, which is named."""

    def details(error: Conflict, at: str) -> Iterable[Message]:
        yield ResourceInfo(resource_type="job", resource_name=error.job_id)
        yield _bad_request(at, [Violation(field=field, message=str(error))])

    return details


def again_in(*, seconds: int) -> Details:
    return lambda _error, _at: [RetryInfo(retry_delay=Duration(seconds=seconds))]


def limits(error: PayloadTooLarge | BatchTooLarge) -> dict[str, str]:
    """Metadata, not a message: the limits that were passed."""
    return {name: str(value) for name, value in error.limits.items()}


def short(text: str) -> str:
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= _MOST_BYTES else encoded[:_MOST_BYTES].decode(errors="ignore") + "…"


def _bad_request(at: str, violations: Sequence[Violation]) -> BadRequest:
    shown = [
        BadRequest.FieldViolation(field=short(at + each.field), description=short(each.message))
        for each in violations[:_MOST_VIOLATIONS]
    ]
    return BadRequest(field_violations=shown)
