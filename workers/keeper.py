"""Keeps the leases of the jobs that this process holds, and learns which it lost, shall stop or shall hand back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from server.engine import work
from server.engine.engine import Engine
from server.engine.errors import EngineError
from server.engine.work import Attention, Release
from workers.holding import Holding, Holdings, JobCancelled, LeaseGone, Stage
from workers.outage import reasons
from workers.outcome import Stop
from workers.rounds import Rounds
from workers.settler import Settler

_BEAT = 1.0  # s between two extensions; also how soon a cancellation is heard of
_PAUSED_BEAT = 0.05  # s, as long as a paused queue has jobs here that may start
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        beat = min(_BEAT, lease.total_seconds() / 4)
        super().__init__("keeper", self.beat, every=lambda: _PAUSED_BEAT if self._pausing else beat)
        self._engine = engine
        self._holdings = holdings
        self._settler = settler
        self._lease = lease
        self._unstock = unstock
        self._clock = clock
        self._silent: set[str] = set()  # queues whose leases could not be extended the last time
        self._pausing = False  # the last beat came upon jobs that might have started though their queue is paused

    def beat(self) -> None:
        """Extends every lease once. A queue whose Redis is away does not take the others along."""
        self._pausing = False
        for queue, held in self._holdings.of_queues().items():
            try:
                self._extend(queue, held)
                self._silent.discard(queue)
            except Exception as error:
                if queue not in self._silent:
                    bug = not isinstance(error, EngineError)
                    log.warning("leases not extended", queue=queue, leases=len(held), **reasons(error), exc_info=bug)
                self._silent.add(queue)

    def _extend(self, queue: str, held: Sequence[Holding]) -> None:
        good_until = self._clock() + self._lease.total_seconds()
        attention = self._engine.run(work.extend(queue, [holding.told_run for holding in held], lease=self._lease))
        for holding in held:
            match attention.get(holding.job.lease.job_id):
                case Attention.LEASE_LOST:
                    self._lose(holding)
                case Attention.CANCEL:
                    self._cancel(holding)
                case Attention.PAUSED:
                    self._put_back(holding)
                case None:
                    holding.extend(good_until=good_until)
                    if holding.stage is Stage.QUEUED and holding.held_for > _PATIENCE:
                        # No thread came for it: one that is idle elsewhere may take it at once.
                        self._unstock(holding)

    def _lose(self, holding: Holding) -> None:
        # A settlement that is under way took the lease along: then nothing was lost.
        if holding.drop():
            self._holdings.remove(holding)
        holding.interrupt(LeaseGone)

    def _put_back(self, holding: Holding) -> None:
        """What has begun meanwhile goes on; one of the next beats tells that it has started."""
        self._pausing = True
        if holding.drop():
            self._settler.settle(holding, Release(lease=holding.job.lease))

    def _cancel(self, holding: Holding) -> None:
        holding.cancelled = True
        if holding.drop():
            self._settler.settle(holding, Stop(run=holding.run))
        holding.interrupt(JobCancelled)
