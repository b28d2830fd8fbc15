"""Tells the engine what became of jobs: many in one call when many are done, at once when there is only one.

While a call is under way, what comes in gathers and goes with the next. Redis away: everything is kept and sent again;
every transition may run twice, so a lost answer is no loss.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from server.engine import work
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import BackendFault, LeaseLost
from server.engine.job import Lease
from server.engine.work import Completion, FinalFailure, Release, Retry, Snooze
from workers.holding import Holding, Holdings
from workers.outcome import Settlement, Stop

BATCH = 256  # settlements a round
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # s between tries while Redis is away

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Progress or a line of log, on its way to Redis. Lost with the process, unlike a settlement."""

    lease: Lease
    progress: tuple[float, str] | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    holding: Holding
    settlement: Settlement


_CALLS: dict[type, Callable[[str, Sequence[Any]], Call[list[bool]]]] = {
    Completion: work.complete,
    Retry: work.retry,
    FinalFailure: work.fail,
    Snooze: work.snooze,
    Release: work.release,
    Stop: lambda queue, stops: work.stop(queue, [stop.run for stop in stops]),
}


class Settler:
    """One thread per process. `told` is called for every job with its settlement and whether it was taken."""

    def __init__(
        self, engine: Engine, holdings: Holdings, *, told: Callable[[Holding, Settlement, bool], None]
    ) -> None:
        self._engine = engine
        self._holdings = holdings
        self._told = told
        self._pending: deque[_Settled | Note] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="settler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def settle(self, holding: Holding, settlement: Settlement) -> None:
        """Returns at once; the job's lease is kept until the engine has it."""
        self._put(_Settled(holding=holding, settlement=settlement))

    def note(self, note: Note) -> None:
        """Returns at once."""
        self._put(note)

    def drain(self, *, seconds: float) -> bool:
        """Waits until everything is told. False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and not self._busy, timeout=seconds)

    def stop(self, *, seconds: float) -> None:
        """Drains, then ends the thread. What Redis could not be told stays leased until the lease runs out."""
        if not self.drain(seconds=seconds):
            log.warning("results not told: their jobs will run again", jobs=len(self._pending))
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _put(self, item: _Settled | Note) -> None:
        with self._changed:
            self._pending.append(item)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._pending or self._stopping)
                if self._stopping:
                    return
                batch = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
                self._busy = True
            self._tell(batch)

    def _tell(self, batch: Sequence[_Settled | Note]) -> None:
        # Notes first: they are written under the lease that the settlement ends.
        for note in (item for item in batch if isinstance(item, Note)):
            self._tell_note(note)
        for (queue, kind), group in _grouped(item for item in batch if isinstance(item, _Settled)).items():
            self._tell_group(queue, kind, group)

    def _tell_note(self, note: Note) -> None:
        try:
            self._engine.run(work.note(note.lease, progress=note.progress, line=note.line))
        except (BackendFault, LeaseLost) as error:
            log.debug("note lost", job_id=note.lease.job_id, reason=str(error))

    def _tell_group(self, queue: str, kind: type, group: Sequence[_Settled]) -> None:
        try:
            answers = self._until_told(_CALLS[kind](queue, [item.settlement for item in group]))
        except Exception:
            # No outage: the engine cannot take one of these. The others shall not suffer for it.
            log.exception("results refused", queue=queue, jobs=[item.holding.job.lease.job_id for item in group])
            if len(group) > 1:
                for item in group:
                    self._tell_group(queue, kind, [item])
                return
            answers = [False]
        for item, taken in zip(group, answers, strict=True):
            self._holdings.remove(item.holding)
            self._told(item.holding, item.settlement, taken)

    def _until_told(self, call: Call[list[bool]]) -> list[bool]:
        pause = _SHORTEST_PAUSE
        while True:
            try:
                return self._engine.run(call)
            except BackendFault as error:
                if self._stopping:
                    raise
                log.warning("results wait for the storage", reason=str(error))
                time.sleep(pause * (1 + random.random()) / 2)
                pause = min(pause * 2, _LONGEST_PAUSE)


def _grouped(items: Iterable[_Settled]) -> dict[tuple[str, type], list[_Settled]]:
    groups: dict[tuple[str, type], list[_Settled]] = {}
    for item in items:
        groups.setdefault((item.holding.job.lease.queue, type(item.settlement)), []).append(item)
    return groups
