"""The one table: what is refused, as it is told over HTTP. What has no row is a bug.

Its reasons are those of the contract; the door's own refusals, which gRPC does not know, have words of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.catalog import InvalidPayload, QueueNotFound, TaskNotFound
from server.engine import errors as engine
from server.web.api import errors as api
from server.web.api.answers import ErrorDetails, Fault, Refusal
from server.web.api.reason import Reason

Details = Callable[[Any], Mapping[str, Any]]

# Fields that the contract names otherwise.
_NAMES = {
    "job_id": "id",
    "older_than": "olderThan",
    "page_size": "limit",
    "page_token": "pageToken",
    "queue": "name",
    "resume_time": "resumeAt",
    "state": "status",
}


def _nothing(_error: Exception) -> Mapping[str, Any]:
    return {}


def _wrong_fields(error: api.InvalidFields | InvalidPayload) -> Mapping[str, Any]:
    faults = [Fault(field=each.field, message=each.message) for each in error.violations]
    return {"field": faults[0].field, "faults": faults}


def _wrong_value(error: engine.InvalidValue) -> Mapping[str, Any]:
    field = _NAMES.get(error.field, error.field)
    return {"field": field, "faults": [Fault(field=field, message=error.rule)]}


def _not_in_catalog(error: QueueNotFound | TaskNotFound) -> Mapping[str, Any]:
    return {"field": _NAMES.get(error.kind, error.kind)}


def _job(error: engine.JobNotFound | engine.Conflict) -> Mapping[str, Any]:
    return {"job_id": error.job_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How one error is told."""

    status: int
    reason: Reason
    details: Details = _nothing
    again_in: int | None = None  # s


ROWS: dict[type[Exception], Row] = {
    api.InvalidFields: Row(status=400, reason=Reason.INVALID_FIELD, details=_wrong_fields),
    api.CrossSite: Row(status=403, reason=Reason.CROSS_SITE),
    api.PathNotFound: Row(status=404, reason=Reason.PATH_NOT_FOUND),
    api.MethodNotAllowed: Row(status=405, reason=Reason.METHOD_NOT_ALLOWED),
    api.BodyTooLarge: Row(status=413, reason=Reason.BODY_TOO_LARGE, details=lambda _: {"limit_bytes": api.BODY_LIMIT}),
    api.NotJson: Row(status=415, reason=Reason.NOT_JSON),
    InvalidPayload: Row(status=400, reason=Reason.INVALID_FIELD, details=_wrong_fields),
    engine.InvalidValue: Row(status=400, reason=Reason.INVALID_FIELD, details=_wrong_value),
    QueueNotFound: Row(status=404, reason=Reason.QUEUE_NOT_FOUND, details=_not_in_catalog),
    TaskNotFound: Row(status=404, reason=Reason.TASK_NOT_FOUND, details=_not_in_catalog),
    engine.JobNotFound: Row(status=404, reason=Reason.JOB_NOT_FOUND, details=_job),
    engine.JobExists: Row(status=409, reason=Reason.JOB_EXISTS, details=_job),
    engine.IdempotencyKeyReused: Row(status=409, reason=Reason.IDEMPOTENCY_KEY_REUSED, details=_job),
    engine.UniqueConflict: Row(status=409, reason=Reason.UNIQUE_CONFLICT, details=_job),
    engine.JobInState: Row(
        status=409, reason=Reason.JOB_STATE, details=lambda error: {"job_id": error.job_id, "state": error.state}
    ),
    engine.SecretsErased: Row(status=409, reason=Reason.SECRETS_ERASED, details=_job),
    engine.EventsLost: Row(status=410, reason=Reason.EVENTS_LOST),
    engine.BackendFull: Row(status=503, reason=Reason.MEMORY_FULL, again_in=10),
    engine.BackendUnavailable: Row(status=503, reason=Reason.BACKEND_UNAVAILABLE, again_in=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the one who asked is told of an error."""

    status: int
    refusal: Refusal
    again_in: int | None = None  # s


def told(error: Exception) -> Told | None:
    """None for an error that is no refusal."""
    row = ROWS.get(type(error))
    if row is None:
        return None
    details = ErrorDetails(reason=row.reason, **row.details(error))
    # By the names that fields have here, which the error itself may not know.
    message = "; ".join(f"{fault.field} {fault.message}" for fault in details.faults) or str(error)
    return Told(status=row.status, refusal=Refusal(message=message, error=details), again_in=row.again_in)


def bug(correlation_id: str) -> Told:
    """Of an error that is no refusal: where the logs have it, and nothing of the inside."""
    message = f"a fault of the service; its logs have it as {correlation_id}"
    details = ErrorDetails(reason=Reason.INTERNAL, correlation_id=correlation_id)
    return Told(status=500, refusal=Refusal(message=message, error=details))
