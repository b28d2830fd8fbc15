"""What the code that runs a task touches: its job, its ways out, and the mark that makes it a handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol

from server.catalog.payload import P
from server.catalog.task import Task


class JobContext(Protocol):
    """The job that a handler runs, as far as it may know and touch it."""

    @property
    def id(self) -> str: ...

    @property
    def queue(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def attempt(self) -> int:
        """Counted from 1, up to `max_attempts`."""

    @property
    def max_attempts(self) -> int: ...

    @property
    def snoozes(self) -> int:
        """How often the job was snoozed before this run."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller no longer wants the job. A long handler looks now and then, and returns."""

    def progress(self, percent: float, message: str = "") -> None:
        """Tells whoever asks for the job how far it is, from 0 to 100."""

    def log(self, line: str) -> None:
        """Keeps a line with the job, for whoever looks into it. It is shown as it is: never a secret."""


class Snooze(Exception):
    """Not yet: the job runs again later, and no attempt is spent.

    Without `delay` each wait is longer than the last. A job that has been snoozed for `ceiling` on end fails;
    without one the worker's own holds.
    """

    def __init__(self, delay: timedelta | None = None, reason: str = "", *, ceiling: timedelta | None = None) -> None:
        super().__init__(reason or "not yet")
        self.delay = delay
        self.reason = reason
        self.ceiling = ceiling


class PermanentFailure(Exception):
    """No further attempt can succeed: the job fails for good, with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# The result is kept with the job: None, or anything that JSON can say. An async function's is awaited.
Run = Callable[[P, JobContext], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Generic[P]):
    """The function that runs a task. It can still be called, as tests do."""

    task: Task[P]
    run: Run[P]

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.run)

    def __call__(self, payload: P, job: JobContext) -> Any:
        return self.run(payload, job)


def handler(task: Task[P]) -> Callable[[Run[P]], Handler[P]]:
    """Marks the function that runs a task: `@handler(GREET)` over `async def greet(payload: Greet, job: JobContext)`.

    It may be async or not; workers find it among the globals of its module.
    """
    return lambda run: Handler(task=task, run=run)
