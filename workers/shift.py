"""What one worker process has while it is on duty: its leases, and the threads that look after them."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from dramatiq.middleware import Shutdown

from server.engine.engine import Engine
from server.engine.job import LeasedJob
from server.engine.sweep import Retentions
from server.engine.work import Completion, FinalFailure, Release, Retry, Snooze
from workers.attendance import Attendance
from workers.capacity import Capacity
from workers.holding import Holding, Holdings, LeaseGone, Stage
from workers.keeper import Keeper
from workers.outcome import Settlement, Stop
from workers.settler import Settler
from workers.sweeper import Sweeper
from workers.timer import Timer

_LAST_CALL_SECONDS, _LOOK_EVERY_SECONDS = 0.5, 0.005  # for jobs that are interrupted with the process about to end
_LAST_WORDS_SECONDS = 5.0  # for results that Redis has not heard of yet

log = structlog.get_logger(__name__)


class Shift:
    """From boot to shutdown of one worker process.

    `concurrency` names the queues that it works for, with the limit of each; it looks after all `queues`. `tasks` tells
    which of a queue's it can run.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int,
        lease: timedelta,
        concurrency: Mapping[str, int],
        queues: Sequence[str],
        retentions: Callable[[str], Retentions],
        tasks: Callable[[str], Sequence[str]],
    ) -> None:
        self.engine = engine
        self.lease = lease
        self.worker = _worker_name()
        self.capacity = Capacity(threads)
        self.holdings = Holdings()
        self.settler = Settler(engine, self.holdings, told=_log_settlement)
        self.draining = threading.Event()
        # One reservation at a time and queue; its number stays until its answer has come.
        self.reservations: defaultdict[str, int] = defaultdict(int)
        self.asked_at: dict[str, float] = {}  # s, when the one that has not been answered was asked for first
        self._threads = threads
        self._concurrency = concurrency
        self._timer = Timer(self.holdings)
        self._keeper = Keeper(engine, self.holdings, self.settler, lease=lease, unstock=self.unstock)
        self._sweeper = Sweeper(engine, queues=queues, retentions=retentions, lease=lease)
        self._attendance = Attendance(
            engine,
            worker=self.worker,
            queues=tuple(concurrency),
            tasks=tasks,
            threads=threads,
            started_at=datetime.now(UTC),
        )

    def start(self) -> None:
        for queue, limit in self._concurrency.items():
            log.info(f"worker created: {queue} (concurrency: {limit})", queue=queue, concurrency=limit)
        log.info("worker process on duty", worker=self.worker, threads=self._threads)
        self.settler.start()
        self._timer.start()
        self._keeper.start()
        self._sweeper.start()
        self._attendance.start()

    def hold(self, job: LeasedJob, *, asked_at: float) -> Holding:
        """From here on the job's lease is kept. `asked_at` (s, monotonic): it was not leased before."""
        holding = Holding(job, good_until=asked_at + self.lease.total_seconds())
        earlier = self.holdings.add(holding)
        if earlier is not None and not earlier.drop():
            earlier.interrupt(LeaseGone)
        return holding

    def hand_back(self, holding: Holding) -> None:
        """A job that has not started goes back to its place. Nothing happens to one that has."""
        if holding.drop():
            self.settler.settle(holding, Release(lease=holding.job.lease))

    def notice_pause(self) -> None:
        """What was taken before it goes back at once, and not with the next beat."""
        self._keeper.soon()

    def unstock(self, holding: Holding) -> None:
        """For a job that no thread came for: jobs are not as short as they were taken to be."""
        self.capacity.learn(holding.held_for)
        self.hand_back(holding)

    def drain(self) -> None:
        """No new jobs from here on; what has not started goes back at once, before what runs is waited for."""
        self.draining.set()
        for holding in self.holdings:
            self.hand_back(holding)

    def last_call(self) -> None:
        """Nobody waits any longer: what still runs is interrupted, and goes back whether it ends or not."""
        for holding in self.holdings:
            holding.interrupt(Shutdown)
        ends = time.monotonic() + _LAST_CALL_SECONDS
        while time.monotonic() < ends and any(holding.stage is Stage.RUNNING for holding in self.holdings):
            time.sleep(_LOOK_EVERY_SECONDS)
        for holding in self.holdings:
            if holding.abandon():
                self.settler.settle(holding, Release(lease=holding.job.lease))

    def stop(self) -> None:
        """Everything that can be said is said."""
        self.drain()
        self._timer.stop()
        self._sweeper.stop()
        self.settler.stop(seconds=_LAST_WORDS_SECONDS)
        self._keeper.stop()
        self._attendance.stop()


_ENDINGS: dict[type, tuple[str, str]] = {
    Completion: ("info", "completed"),
    FinalFailure: ("error", "failed"),
    Stop: ("info", "cancelled"),
    Retry: ("warning", "retried"),
    Snooze: ("info", "snoozed"),
    Release: ("info", "released"),
}
_PUT_OFF = Retry | Snooze | Release


def _log_settlement(holding: Holding, settlement: Settlement, taken: bool) -> None:
    """One line for every end of an attempt: `email job completed`."""
    # The engine does not put off a job that was asked to stop.
    stopped = holding.cancelled and isinstance(settlement, _PUT_OFF)
    level, word = _ENDINGS[Stop if stopped else type(settlement)]
    request = holding.job.request
    fields: dict[str, object] = {
        "queue": request.queue,
        "task": request.task,
        "job_id": request.id,
        "attempt": holding.job.attempt,
        "duration_ms": round(holding.ran_for.total_seconds() * 1000, 1),
    }
    match settlement:
        case FinalFailure(failure=failure):
            fields |= {"reason": failure.reason, "error": failure.message}
        case Retry(error=error):
            fields |= {"error": f"{error.type}: {error.message}"}
        case Snooze(reason=reason):
            fields |= {"reason": reason.message}
    if isinstance(settlement, _PUT_OFF) and settlement.delay and not stopped:
        fields["again_in_ms"] = round(settlement.delay.total_seconds() * 1000)
    if not taken:
        level, word = "warning", f"{word} in vain: the lease was lost"
    getattr(log, level)(f"{request.queue} job {word}", **fields)


def _worker_name() -> str:
    """host-pid-chance: readable, and never the same twice, not even for a process that got its pid again."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:60] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
