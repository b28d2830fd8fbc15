"""Says that this worker process is there, for each queue that it works for, and at its end that it has left.

Reserving says so as well, but a worker whose threads are all busy does not reserve, and only here it says what it can
do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from server.engine import work
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import EngineError
from workers.outage import reasons
from workers.rounds import Rounds

_EVERY = 5.0  # s: after 15 (`look.SILENCE`) it would count as gone

log = structlog.get_logger(__name__)


class Attendance(Rounds):
    """One thread per process. `tasks` is asked anew at every round."""

    def __init__(
        self,
        engine: Engine,
        *,
        worker: str,
        queues: Sequence[str],
        tasks: Callable[[str], Sequence[str]],
        threads: int,
        started_at: datetime,
    ) -> None:
        super().__init__("attendance", self.attend, every=lambda: _EVERY)
        self._engine = engine
        self._worker = worker
        self._queues = queues
        self._tasks = tasks
        self._threads = threads
        self._started_at = started_at
        self.soon()  # the first round

    def attend(self) -> None:
        """One round: says it for every queue."""
        for queue in self._queues:
            tasks = self._tasks(queue)
            call = work.attend(queue, self._worker, tasks=tasks, threads=self._threads, started_at=self._started_at)
            self._say(queue, call)

    def leave(self) -> None:
        for queue in self._queues:
            self._say(queue, work.leave(queue, self._worker))

    def _work(self) -> None:
        super()._work()
        # By the same thread: no round can come after it.
        self.leave()

    def _say(self, queue: str, call: Call[None]) -> None:
        """Each queue may be on a node of its own: one that is away does not take the others along."""
        try:
            self._engine.run(call)
        except EngineError as error:
            log.debug("presence not told", queue=queue, **reasons(error))
