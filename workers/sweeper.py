"""Keeps the queues in order: promotes what is due, reclaims what dead workers held, prunes what is old.

Every worker process does it for its queues; any number of them may, at any time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from server.engine import sweep
from server.engine.engine import Engine
from server.engine.errors import EngineError
from server.engine.sweep import Reclaimed, Retentions

_EVERY = 1.0  # s

log = structlog.get_logger(__name__)


class Sweeper:
    """One thread per process. `retentions` is asked anew at every sweep."""

    def __init__(
        self,
        engine: Engine,
        *,
        queues: Sequence[str],
        retentions: Callable[[str], Retentions],
        lease: timedelta,
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._retentions = retentions
        # Living workers get this long to extend after a pause in which nobody swept.
        self._hold = min(timedelta(seconds=3), lease / 2)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def sweep(self, queue: str) -> None:
        """One round for one queue. Raises BackendFault."""
        self._engine.run(sweep.promote(queue))
        reclamation = self._engine.run(sweep.reclaim(queue, hold=self._hold))
        for job_id, became in reclamation.jobs.items():
            _log_reclaimed(queue, job_id, became)
        while self._engine.run(sweep.prune(queue, self._retentions(queue))).more:
            if self._stopping.is_set():
                return

    def _work(self) -> None:
        while not self._stopping.wait(_EVERY * random.uniform(0.8, 1.2)):
            for queue in self._queues:
                self._sweep_whatever_happens(queue)

    def _sweep_whatever_happens(self, queue: str) -> None:
        try:
            self.sweep(queue)
        except EngineError as error:
            log.debug("queue not swept", queue=queue, reason=str(error))
        except Exception:
            log.exception("queue not swept", queue=queue)


def _log_reclaimed(queue: str, job_id: str, became: Reclaimed) -> None:
    level = "error" if became is Reclaimed.POISON else "warning"
    getattr(log, level)(f"{queue} job reclaimed", queue=queue, job_id=job_id, became=became.name.lower())
