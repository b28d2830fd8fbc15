"""Which queues and tasks exist, and what a team's own module needs to declare and run its tasks."""

from server.catalog.address import EmailAddress
from server.catalog.catalog import Catalog
from server.catalog.errors import (
    CatalogError,
    InvalidCatalog,
    InvalidPayload,
    NotInCatalog,
    QueueNotFound,
    TaskNotFound,
    Violation,
)
from server.catalog.handler import Handler, JobContext, PermanentFailure, Snooze, handler
from server.catalog.names import is_queue_name, is_task_name
from server.catalog.payload import SECRET, Payload
from server.catalog.task import Task
from server.catalog.text import Identifier, Line, Text

__all__ = [
    "SECRET",
    "Catalog",
    "CatalogError",
    "EmailAddress",
    "Handler",
    "Identifier",
    "InvalidCatalog",
    "InvalidPayload",
    "JobContext",
    "Line",
    "NotInCatalog",
    "Payload",
    "PermanentFailure",
    "QueueNotFound",
    "Snooze",
    "Task",
    "TaskNotFound",
    "Text",
    "Violation",
    "handler",
    "is_queue_name",
    "is_task_name",
]
