"""Keeps the leases of the jobs that this process holds, and learns which it lost and which it shall stop."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from server.engine import work
from server.engine.engine import Engine
from server.engine.errors import EngineError
from server.engine.work import Attention
from workers.holding import Holding, Holdings, JobCancelled, LeaseGone
from workers.outcome import Stop
from workers.settler import Settler

_BEAT = 1.0  # s between two extensions; also how soon a cancellation is heard of

log = structlog.get_logger(__name__)


class Keeper:
    """One thread per process."""

    def __init__(self, engine: Engine, holdings: Holdings, settler: Settler, *, lease: timedelta) -> None:
        self._engine = engine
        self._holdings = holdings
        self._settler = settler
        self._lease = lease
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def beat(self) -> None:
        """Extends every lease once. Raises BackendFault."""
        for queue, held in self._holdings.of_queues().items():
            attention = self._engine.run(work.extend(queue, [holding.run for holding in held], lease=self._lease))
            for holding in held:
                match attention.get(holding.job.lease.job_id):
                    case Attention.LEASE_LOST:
                        self._lose(holding)
                    case Attention.CANCEL:
                        self._cancel(holding)

    def _work(self) -> None:
        beat = min(_BEAT, self._lease.total_seconds() / 4)
        while not self._stopping.wait(beat):
            try:
                self.beat()
            except EngineError as error:
                log.warning("leases not extended", leases=len(self._holdings), reason=str(error))
            except Exception:
                log.exception("leases not extended", leases=len(self._holdings))

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
