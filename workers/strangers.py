"""Jobs of tasks that this process does not know."""

from __future__ import annotations

from datetime import timedelta

import structlog

from server.engine.job import LeasedJob

_FIRST, _LONGEST = timedelta(seconds=1), timedelta(seconds=30)
_MOST_REMEMBERED = 10_000

log = structlog.get_logger(__name__)


class Strangers:
    """How long each stays away when it is handed back: longer every time that it comes here."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._visits: dict[str, int] = {}  # by job id
        self._announced: set[str] = set()  # tasks

    def delay(self, job: LeasedJob) -> timedelta:
        """For one more visit of this job."""
        task, job_id = job.request.task, job.request.id
        if task not in self._announced:
            self._announced.add(task)
            log.warning("task unknown to this worker", queue=self._queue, task=task, job_id=job_id)
        if len(self._visits) >= _MOST_REMEMBERED:
            self._visits.clear()
        visits = self._visits[job_id] = self._visits.get(job_id, 0) + 1
        return min(_FIRST * (1 << min(visits - 1, 10)), _LONGEST)
