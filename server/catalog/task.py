"""What a task is: a kind of work, the queue it waits in and the payload it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic

from server.catalog.errors import InvalidCatalog
from server.catalog.names import is_queue_name, is_task_name
from server.catalog.payload import P, PayloadType

_MOST_ATTEMPTS = 1000
_LONGEST_RETRY_DELAY = timedelta(days=30)  # as the engine has it
_HIGHEST_PRIORITY = 100
_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[P]):
    """A kind of work. Where `max_attempts` or `retry_delay` is None, the settings of the queue decide."""

    name: str
    queue: str
    payload: type[P]
    max_attempts: int | None = None
    retry_delay: timedelta | None = None
    timeout: timedelta = timedelta(minutes=10)
    priority: int = 0  # from -100; higher ones are sooner
    _payload_type: PayloadType[P] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise InvalidCatalog(f"task {self.name!r} {fault}")
        try:
            object.__setattr__(self, "_payload_type", PayloadType(self.payload))
        except TypeError as error:
            raise InvalidCatalog(f"the payload of task {self.name!r} {error}") from error

    def decode(self, payload_json: bytes) -> P:
        """The typed payload. Raises InvalidPayload with one violation per wrong field."""
        return self._payload_type.decode(payload_json)

    def check(self, payload_json: bytes) -> None:
        """Raises InvalidPayload exactly when `decode` does."""
        self._payload_type.decode(payload_json)

    def mask(self, payload_json: bytes) -> bytes:
        """The payload as it may be shown: its secrets are "***"."""
        return self._payload_type.mask(payload_json)

    def _faults(self) -> Iterator[str]:
        if not is_task_name(self.name):
            yield "must have a name such as email.welcome, in lower case and of at most 100 characters"
        if not is_queue_name(self.queue):
            yield f"waits in {self.queue!r}, which is no name for a queue"
        if self.max_attempts is not None and not 1 <= self.max_attempts <= _MOST_ATTEMPTS:
            yield f"must have 1 to {_MOST_ATTEMPTS} attempts"
        if not _SHORTEST <= self.timeout <= _LONGEST:
            yield "must have a timeout from 1 s to 24 h"
        if self.retry_delay is not None and not timedelta(milliseconds=1) <= self.retry_delay <= _LONGEST_RETRY_DELAY:
            yield "must have a retry delay from 1 ms to 30 days"
        if abs(self.priority) > _HIGHEST_PRIORITY:
            yield f"must have a priority from -{_HIGHEST_PRIORITY} to {_HIGHEST_PRIORITY}"
