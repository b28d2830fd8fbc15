"""Tells the engine what became of jobs: many in one call when many are done, at once when there is only one.

While a call is under way, what comes in gathers and goes with the next. Redis away: everything is kept and sent again;
every transition may run twice, so a lost answer is no loss.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import structlog

from server.engine import work
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import BackendFault, EngineError
from server.engine.job import Lease
from server.engine.work import Completion, FinalFailure, Release, Retry, Snooze
from workers.holding import Holding, Holdings
from workers.outage import reasons
from workers.outcome import Settlement, Stop

BATCH = 256  # settlements a round
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # s between tries while Redis is away
_MOST_WAITING = 10_000  # with so many things to be told, notes are dropped
_FAREWELL_SECONDS = 1.0

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
        self._inbox: SimpleQueue[_Settled | Note | None] = SimpleQueue()  # None: look whether to end
        self._untold = 0  # settlements that came in and were not answered
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="settler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def settle(self, holding: Holding, settlement: Settlement) -> None:
        """Returns at once; the job's lease is kept until the engine has it."""
        with self._changed:
            self._untold += 1
        self._inbox.put(_Settled(holding=holding, settlement=settlement))

    def note(self, note: Note) -> None:
        """Returns at once. Takes no lock: actors call it, and an interrupt could leave them with the lock for ever."""
        if self._inbox.qsize() < _MOST_WAITING:
            self._inbox.put(note)

    def drain(self, *, seconds: float) -> bool:
        """Waits until everything is told. False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._untold, timeout=seconds)

    def stop(self, *, seconds: float) -> None:
        """Drains, then ends the thread. What Redis could not be told stays leased until the lease runs out."""
        if not self.drain(seconds=seconds):
            log.warning("results not told: their jobs will run again", jobs=self._untold)
        self._ending.set()
        self._inbox.put(None)
        self._thread.join(_FAREWELL_SECONDS)

    def _work(self) -> None:
        while not self._ending.is_set():
            batch = self._gather()
            # Notes first: they are written under the lease that the settlement ends.
            for note in _worth_telling([item for item in batch if isinstance(item, Note)]):
                self._tell_note(note)
            for (queue, kind), group in _grouped(item for item in batch if isinstance(item, _Settled)).items():
                self._tell_group(queue, kind, group)

    def _gather(self) -> list[_Settled | Note | None]:
        batch = [self._inbox.get()]
        while len(batch) < BATCH and not self._inbox.empty():
            batch.append(self._inbox.get())
        return batch

    def _tell_note(self, note: Note) -> None:
        try:
            self._engine.run(work.note(note.lease, progress=note.progress, line=note.line))
        except EngineError as error:
            log.debug("note lost", job_id=note.lease.job_id, reason=str(error))
        except Exception:
            log.exception("note refused", job_id=note.lease.job_id)

    def _tell_group(self, queue: str, kind: type, group: Sequence[_Settled]) -> None:
        try:
            answers = self._until_told(_CALLS[kind](queue, [item.settlement for item in group]))
        except BackendFault:
            return  # the process ends without having been heard
        except Exception:
            self._refused(queue, kind, group)
            return
        for item, taken in zip(group, answers, strict=True):
            self._report(item, taken)
        self._forget(group)

    def _refused(self, queue: str, kind: type, group: Sequence[_Settled]) -> None:
        """No outage: the engine cannot take one of these. The others shall not suffer for it."""
        log.exception("results refused", queue=queue, jobs=[item.holding.job.lease.job_id for item in group])
        if len(group) == 1:
            self._forget(group)
            return
        for item in group:
            self._tell_group(queue, kind, [item])

    def _report(self, item: _Settled, taken: bool) -> None:
        try:
            self._told(item.holding, item.settlement, taken)
        except Exception:
            log.exception("end of job not logged", job_id=item.holding.job.lease.job_id)

    def _forget(self, group: Sequence[_Settled]) -> None:
        for item in group:
            self._holdings.remove(item.holding)
        with self._changed:
            self._untold -= len(group)
            self._changed.notify_all()

    def _until_told(self, call: Call[list[bool]]) -> list[bool]:
        pause = _SHORTEST_PAUSE
        while True:
            try:
                return self._engine.run(call)
            except BackendFault as error:
                if self._ending.is_set():
                    raise
                if pause == _SHORTEST_PAUSE:
                    log.warning("results wait for the storage", **reasons(error))
                self._ending.wait(pause * (1 + random.random()) / 2)
                pause = min(pause * 2, _LONGEST_PAUSE)


def _worth_telling(notes: Sequence[Note]) -> list[Note]:
    """Of how far a job is, only the newest note tells."""
    newest = {note.lease: note for note in notes if note.progress is not None}
    return [note for note in notes if note.progress is None or newest[note.lease] is note]


def _grouped(items: Iterable[_Settled]) -> dict[tuple[str, type], list[_Settled]]:
    groups: dict[tuple[str, type], list[_Settled]] = {}
    for item in items:
        groups.setdefault((item.holding.job.lease.queue, type(item.settlement)), []).append(item)
    return groups
