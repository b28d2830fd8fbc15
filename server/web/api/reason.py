"""The words by which programs decide."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused, for programs."""

    # As over gRPC.
    INVALID_FIELD = "INVALID_FIELD"
    QUEUE_NOT_FOUND = "QUEUE_NOT_FOUND"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_EXISTS = "JOB_EXISTS"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    UNIQUE_CONFLICT = "UNIQUE_CONFLICT"
    JOB_STATE = "JOB_STATE"
    SECRETS_ERASED = "SECRETS_ERASED"
    EVENTS_LOST = "EVENTS_LOST"
    MEMORY_FULL = "MEMORY_FULL"
    BACKEND_UNAVAILABLE = "BACKEND_UNAVAILABLE"
    INTERNAL = "INTERNAL"

    # Of the door itself.
    NOT_JSON = "NOT_JSON"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    CROSS_SITE = "CROSS_SITE"
    PATH_NOT_FOUND = "PATH_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
