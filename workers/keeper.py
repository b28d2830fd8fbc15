"""Keeps the leases of the jobs that this process holds, and learns which it lost and which it shall stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from server.engine import work
from server.engine.engine import Engine
from server.engine.errors import EngineError
from server.engine.work import Attention
from workers.holding import Holding, Holdings, JobCancelled, LeaseGone, Stage
from workers.outcome import Stop
from workers.rounds import Rounds
from workers.settler import Settler

_BEAT = 1.0  # s between two extensions; also how soon a cancellation is heard of
_PATIENCE = timedelta(seconds=1)  # how long a job may lie in stock

log = structlog.get_logger(__name__)


class Keeper(Rounds):
    """One thread per process."""

    def __init__(
        self,
        engine: Engine,
        holdings: Holdings,
        settler: Settler,
        *,
        lease: timedelta,
        unstock: Callable[[Holding], None],
    ) -> None:
        beat = min(_BEAT, lease.total_seconds() / 4)
        super().__init__("keeper", self.beat, every=lambda: beat)
        self._engine = engine
        self._holdings = holdings
        self._settler = settler
        self._lease = lease
        self._unstock = unstock
        self._silent: set[str] = set()  # queues whose leases could not be extended the last time

    def beat(self) -> None:
        """Extends every lease once. A queue whose Redis is away does not take the others along."""
        for queue, held in self._holdings.of_queues().items():
            try:
                self._extend(queue, held)
                self._silent.discard(queue)
            except Exception as error:
                if queue not in self._silent:
                    bug = not isinstance(error, EngineError)
                    log.warning("leases not extended", queue=queue, leases=len(held), reason=str(error), exc_info=bug)
                self._silent.add(queue)

    def _extend(self, queue: str, held: Sequence[Holding]) -> None:
        attention = self._engine.run(work.extend(queue, [holding.run for holding in held], lease=self._lease))
        for holding in held:
            match attention.get(holding.job.lease.job_id):
                case Attention.LEASE_LOST:
                    self._lose(holding)
                case Attention.CANCEL:
                    self._cancel(holding)
                case None if holding.stage is Stage.QUEUED and holding.held_for > _PATIENCE:
                    # No thread came for it: one that is idle elsewhere may take it at once.
                    self._unstock(holding)

    def _lose(self, holding: Holding) -> None:
        # A settlement that is under way took the lease along: then nothing was lost.
        if holding.drop():
            self._holdings.remove(holding)
        holding.interrupt(LeaseGone)

    def _cancel(self, holding: Holding) -> None:
        holding.cancelled = True
        if holding.drop():
            self._settler.settle(holding, Stop(run=holding.run))
        holding.interrupt(JobCancelled)
