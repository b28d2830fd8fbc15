"""The one table: what is refused, as a caller is told. What has no row is a bug."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it has no stubs
from grpc import StatusCode

from server.catalog import InvalidPayload, QueueNotFound, TaskNotFound
from server.engine import errors as engine
from server.rpc import details
from server.rpc.errors import (
    BatchTooLarge,
    InvalidRequest,
    ItemRefused,
    MalformedRequest,
    OutOfTime,
    PayloadTooLarge,
)

DOMAIN = "cabrank"


@dataclass(frozen=True, slots=True)
class Row:
    """How one error is told. `reason` is a name of the contract's ErrorReason."""

    code: StatusCode
    reason: str
    details: details.Details = details.nothing
    metadata: Callable[[Any], dict[str, str]] = lambda _error: {}


ROWS: dict[type[Exception], Row] = {
    InvalidRequest: Row(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", details.wrong_fields),
    InvalidPayload: Row(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", details.wrong_fields),
    engine.InvalidValue: Row(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", details.wrong_value),
    MalformedRequest: Row(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    PayloadTooLarge: Row(StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE", details.too_large, metadata=details.limits),
    BatchTooLarge: Row(StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE", metadata=details.limits),
    QueueNotFound: Row(StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND", details.not_in_catalog),
    TaskNotFound: Row(StatusCode.NOT_FOUND, "TASK_NOT_FOUND", details.not_in_catalog),
    engine.JobNotFound: Row(StatusCode.NOT_FOUND, "JOB_NOT_FOUND", details.no_such_job),
    engine.JobExists: Row(StatusCode.ALREADY_EXISTS, "JOB_EXISTS", details.taken("job_id")),
    engine.IdempotencyKeyReused: Row(
        StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", details.taken("idempotency_key")
    ),
    engine.UniqueConflict: Row(StatusCode.ALREADY_EXISTS, "UNIQUE_CONFLICT", details.taken("unique_key")),
    engine.JobInState: Row(StatusCode.FAILED_PRECONDITION, "JOB_STATE", metadata=lambda error: {"state": error.state}),
    engine.SecretsErased: Row(StatusCode.FAILED_PRECONDITION, "SECRETS_ERASED"),
    engine.EventsLost: Row(StatusCode.OUT_OF_RANGE, "EVENTS_LOST"),
    engine.BackendFull: Row(StatusCode.RESOURCE_EXHAUSTED, "MEMORY_FULL", details.again_in(seconds=10)),
    engine.BackendUnavailable: Row(StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", details.again_in(seconds=1)),
}


def status_of(error: Exception) -> Status | None:
    """What the caller is told; None for an error that is no refusal."""
    if isinstance(error, OutOfTime):
        # As gRPC itself makes it on the caller's side, where it usually comes first: without details.
        return Status(code=StatusCode.DEADLINE_EXCEEDED.value[0], message=str(error))
    cause, at = (error.cause, f"jobs[{error.index}].") if isinstance(error, ItemRefused) else (error, "")
    row = ROWS.get(type(cause))
    if row is None:
        return None
    return _status(row, str(error), row.metadata(cause), row.details(cause, at))


def bug(correlation_id: str) -> Status:
    """What the caller is told of an error that is no refusal: where the logs have it, and nothing of the inside."""
    told = f"a fault of the service; its logs have it as {correlation_id}"
    return _status(Row(StatusCode.INTERNAL, "INTERNAL"), told, {"correlation_id": correlation_id}, ())


def _status(row: Row, message: str, metadata: dict[str, str], more: Iterable[Message]) -> Status:
    status = Status(code=row.code.value[0], message=details.short(message))
    for detail in (ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=metadata), *more):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
