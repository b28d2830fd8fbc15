"""The jobs that this process has leased: which wait for a thread, which run, which are done with.

A holding changes its state under its own lock, for three kinds of threads meet at it: the one that runs the job, the
keeper that learns of lost leases and cancellations, and the one that hands back what has not started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum

from dramatiq.middleware import Interrupt
from dramatiq.middleware.threading import raise_thread_exception

from server.engine.job import LeasedJob
from server.engine.work import Run


class Stage(Enum):
    """How far this process is with a job."""

    QUEUED = "queued"
    RUNNING = "running"
    OVER = "over"  # it ran; what remains is to say so
    DROPPED = "dropped"  # handed back or lost before it started


class JobCancelled(Interrupt):
    """Raised in the thread of an actor whose job was cancelled."""


class LeaseGone(Interrupt):
    """Raised in the thread of an actor whose job another worker may have by now."""


class Holding:
    """One leased job in this process."""

    def __init__(self, job: LeasedJob) -> None:
        self.job = job
        self.cancelled = False
        self.result: object = None  # what the actor left to be kept
        self._stage = Stage.QUEUED
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._got_at = time.monotonic()
        self._started_at: float | None = None
        self._ended_at: float | None = None

    @property
    def stage(self) -> Stage:
        return self._stage

    @property
    def run(self) -> Run:
        """The job's lease and, where it has started, when."""
        started = None if self._started_at is None else timedelta(seconds=self._started_at - self._got_at)
        return Run(lease=self.job.lease, started_after=started)

    @property
    def ran_for(self) -> timedelta:
        """How long it ran, or has been running; 0 when it never started."""
        if self._started_at is None:
            return timedelta(0)
        return timedelta(seconds=(self._ended_at or time.monotonic()) - self._started_at)

    def begin(self) -> bool:
        """Called by the thread that is about to run the job. False when it may not any more."""
        with self._lock:
            if self._stage is not Stage.QUEUED:
                return False
            self._stage = Stage.RUNNING
            self._thread = threading.get_ident()
            self._started_at = time.monotonic()
            return True

    def end(self) -> None:
        """Called by the same thread: from here on nobody interrupts it on this job's account."""
        with self._lock:
            if self._stage is Stage.RUNNING:
                self._stage = Stage.OVER
                self._ended_at = time.monotonic()

    def drop(self) -> bool:
        """Keeps a job that has not started from starting. False when it has."""
        with self._lock:
            if self._stage is not Stage.QUEUED:
                return False
            self._stage = Stage.DROPPED
            return True

    def abandon(self) -> None:
        """Called by the thread that had begun: it does not run the job after all."""
        with self._lock:
            self._stage = Stage.DROPPED

    def interrupt(self, why: type[Interrupt]) -> None:
        """Raises `why` in the thread that runs the job, if one does; once."""
        with self._lock:
            if self._stage is Stage.RUNNING and self._thread is not None:
                thread, self._thread = self._thread, None
                raise_thread_exception(thread, why)  # type: ignore[no-untyped-call]


class Holdings:
    """All holdings of this process, by lease. Iterating sees a snapshot."""

    def __init__(self) -> None:
        self._by_token: dict[tuple[str, str], Holding] = {}
        self._lock = threading.Lock()

    def add(self, holding: Holding) -> None:
        with self._lock:
            self._by_token[_key(holding)] = holding

    def remove(self, holding: Holding) -> None:
        with self._lock:
            self._by_token.pop(_key(holding), None)

    def of_queues(self) -> dict[str, list[Holding]]:
        """Grouped by queue."""
        groups: dict[str, list[Holding]] = {}
        for holding in self:
            groups.setdefault(holding.job.lease.queue, []).append(holding)
        return groups

    def __iter__(self) -> Iterator[Holding]:
        with self._lock:
            return iter(list(self._by_token.values()))

    def __len__(self) -> int:
        return len(self._by_token)


def _key(holding: Holding) -> tuple[str, str]:
    return holding.job.lease.job_id, holding.job.lease.token
