"""Keeps the queues in order: promotes what is due, reclaims what dead workers held, prunes what is old.

Every worker process does it for its queues; any number of them may, at any time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from server.engine import sweep
from server.engine.engine import Engine
from server.engine.errors import EngineError
from server.engine.sweep import Reclaimed, Retentions
from workers.rounds import Rounds

_EVERY = 1.0  # s
_LONGEST_GAP, _LONGEST_HOLD = timedelta(seconds=5), timedelta(seconds=3)

log = structlog.get_logger(__name__)


class Sweeper(Rounds):
    """One thread per process. `retentions` is asked anew at every sweep."""

    def __init__(
        self,
        engine: Engine,
        *,
        queues: Sequence[str],
        retentions: Callable[[str], Retentions],
        lease: timedelta,
    ) -> None:
        pause = min(_EVERY, lease.total_seconds() / 4)
        # Not all processes in the same moment.
        super().__init__("sweeper", self._sweep_all, every=lambda: pause * random.uniform(0.8, 1.2))
        self._engine = engine
        self._queues = queues
        self._retentions = retentions
        # After a pause in which nobody swept, the living get time to extend before anything is taken from them. The
        # pause that counts is longer than that between two sweeps, and shorter than a lease.
        self._gap, self._hold = min(_LONGEST_GAP, lease * 3 / 4), min(_LONGEST_HOLD, lease / 2)

    def sweep(self, queue: str) -> None:
        """One round for one queue. Raises BackendFault."""
        self._engine.run(sweep.promote(queue))
        reclamation = self._engine.run(sweep.reclaim(queue, gap=self._gap, hold=self._hold))
        for job_id, became in reclamation.jobs.items():
            _log_reclaimed(queue, job_id, became)
        while self._engine.run(sweep.prune(queue, self._retentions(queue))).more:
            if self.ending:
                return

    def _sweep_all(self) -> None:
        for queue in self._queues:
            if self.ending:
                return
            try:
                self.sweep(queue)
            except EngineError as error:
                log.debug("queue not swept", queue=queue, reason=str(error))
            except Exception:
                log.exception("queue not swept", queue=queue)


def _log_reclaimed(queue: str, job_id: str, became: Reclaimed) -> None:
    level = "error" if became is Reclaimed.POISON else "warning"
    getattr(log, level)(f"{queue} job reclaimed", queue=queue, job_id=job_id, became=became.name.lower())
