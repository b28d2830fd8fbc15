"""What a handler sees of the job that it runs: the worker's side of `server.catalog.JobContext`."""

from __future__ import annotations

from collections.abc import Mapping

from workers.holding import Holding
from workers.settler import Note, Settler
from workers.veil import veiled

_LINE_LIMIT = 1000  # characters
_MESSAGE_LIMIT = 200


class Context:
    """One job while it runs. Nothing here waits for Redis, so a coroutine may call it."""

    def __init__(self, holding: Holding, settler: Settler) -> None:
        self._holding = holding
        self._settler = settler

    @property
    def id(self) -> str:
        return self._holding.job.request.id

    @property
    def queue(self) -> str:
        return self._holding.job.request.queue

    @property
    def task(self) -> str:
        return self._holding.job.request.task

    @property
    def attempt(self) -> int:
        return self._holding.job.attempt

    @property
    def max_attempts(self) -> int:
        return self._holding.job.request.max_attempts

    @property
    def snoozes(self) -> int:
        return self._holding.job.spent.snoozes

    @property
    def labels(self) -> Mapping[str, str]:
        return self._holding.job.request.labels

    @property
    def cancelled(self) -> bool:
        return self._holding.cancelled

    def progress(self, percent: float, message: str = "") -> None:
        """Raises ValueError outside 0 to 100."""
        if not 0 <= percent <= 100:  # noqa: PLR2004  (per cent)
            raise ValueError(f"progress lies between 0 and 100, not at {percent}")
        shown = veiled(message, self._holding.job)[:_MESSAGE_LIMIT]
        self._settler.note(Note(lease=self._holding.job.lease, progress=(float(percent), shown)))

    def log(self, line: str) -> None:
        shown = veiled(line, self._holding.job)[:_LINE_LIMIT]
        self._settler.note(Note(lease=self._holding.job.lease, line=shown))
