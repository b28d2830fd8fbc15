"""The jobs that this process has leased: which wait for a thread, which run, which are done with.

A holding changes its state under its own lock, for several kinds of threads meet at it: the one that runs the job, the
keeper that learns of lost leases and cancellations, the timer, and the one that hands back what has not started.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import Enum

from dramatiq.middleware import Interrupt

from server.engine.job import LeasedJob
from server.engine.work import Run


class Stage(Enum):
    """How far this process is with a job."""

    QUEUED = "queued"
    RUNNING = "running"
    OVER = "over"  # it ran; what remains is to say so
    DROPPED = "dropped"  # handed back, lost or given up: whatever a thread still does with it is not told


class JobCancelled(Interrupt):
    """Raised in an actor whose job was cancelled."""


class LeaseGone(Interrupt):
    """Raised in an actor whose job another worker may have by now."""


Reason = type[Interrupt]


class Holding:
    """One leased job in this process.

    `good_until` (s, by `clock`): when its lease is over for this process, whatever Redis says later. A process that was
    frozen or cut off for so long must not start the job: another worker may have it.
    """

    def __init__(
        self, job: LeasedJob, *, good_until: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job = job
        self.cancelled = False
        self.result: object = None  # what the actor left to be kept
        self._good_until = good_until
        self._stage = Stage.QUEUED
        self._entered = False  # whether its body was reached
        self._lock = threading.Lock()
        self._raise: Callable[[Reason], object] | None = None  # while the body can be interrupted
        self._reasons: list[Reason] = []
        self._clock = clock
        self._got_at = clock()
        self._started_at: float | None = None
        self._ended_at: float | None = None

    @property
    def stage(self) -> Stage:
        return self._stage

    @property
    def ready(self) -> bool:
        """Whether a thread has begun it, and not yet with its body."""
        return self._stage is Stage.RUNNING and self._raise is None

    @property
    def reason(self) -> Reason | None:
        """Why it was interrupted the last time, if it was."""
        return self._reasons[-1] if self._reasons else None

    @property
    def run(self) -> Run:
        """The job's lease and, where it has started, when."""
        started = None if self._started_at is None else timedelta(seconds=self._started_at - self._got_at)
        return Run(lease=self.job.lease, started_after=started)

    @property
    def told_run(self) -> Run:
        """What others may be told of it: no start before its body was reached.

        Who pauses a queue waits until there is nothing left that has not started: a thread that has begun may still be
        on its way to the body.
        """
        return self.run if self._entered else Run(lease=self.job.lease, started_after=None)

    @property
    def now(self) -> datetime:
        """By the clock of Redis, which every moment of the job was taken from."""
        return self.job.reserved_at + self.held_for

    @property
    def held_for(self) -> timedelta:
        return timedelta(seconds=self._clock() - self._got_at)

    @property
    def ran_for(self) -> timedelta:
        """How long it ran, or has been running; 0 when it never started."""
        if self._started_at is None:
            return timedelta(0)
        ended_at = self._clock() if self._ended_at is None else self._ended_at
        return timedelta(seconds=ended_at - self._started_at)

    @property
    def overdue(self) -> bool:
        """Whether it is running for longer than it may."""
        return self._stage is Stage.RUNNING and self.ran_for >= self.job.request.timeout

    @property
    def _lapsed(self) -> bool:
        return self._clock() >= self._good_until

    def extend(self, *, good_until: float) -> None:
        """Its lease was extended; counted from before Redis was asked, it ends here no later than there."""
        self._good_until = max(self._good_until, good_until)

    def begin(self) -> bool:
        """Called by the thread that is about to run the job. False when it may not any more."""
        with self._lock:
            if self._stage is not Stage.QUEUED or self._lapsed:
                return False
            self._stage = Stage.RUNNING
            self._started_at = self._clock()
            return True

    def expose(self, raise_in_body: Callable[[Reason], object]) -> None:
        """The body is next: from here on it can be interrupted, in this way. A reason that came up before holds too.

        Raises LeaseGone when the lease is over: the process was frozen after the job had begun.
        """
        with self._lock:
            if self._lapsed:
                raise LeaseGone
            self._entered = True
            self._raise = raise_in_body
            if self._reasons:
                raise_in_body(self._reasons[-1])

    def interrupt(self, reason: Reason) -> None:
        """Ends the body early, if it runs. Once for each reason."""
        with self._lock:
            if self._stage is Stage.RUNNING and reason not in self._reasons:
                self._reasons.append(reason)
                if self._raise is not None:
                    self._raise(reason)

    def end(self) -> bool:
        """From here on nobody interrupts it. False when it was dropped before. May be repeated."""
        with self._lock:
            self._raise = None
            if self._stage is Stage.DROPPED:
                return False
            self._stage = Stage.OVER
            if self._ended_at is None:
                self._ended_at = self._clock()
            return True

    def drop(self) -> bool:
        """Keeps a job that has not started from starting. False when it has."""
        return self._drop_from(Stage.QUEUED)

    def abandon(self) -> bool:
        """Gives up a job that has begun. False when it does not run."""
        return self._drop_from(Stage.RUNNING)

    def _drop_from(self, stage: Stage) -> bool:
        with self._lock:
            if self._stage is not stage:
                return False
            self._stage = Stage.DROPPED
            self._raise = None
            return True


class Holdings:
    """The newest holding of every job that this process has. Iterating sees a snapshot."""

    def __init__(self) -> None:
        self._by_job: dict[tuple[str, str], Holding] = {}
        self._lock = threading.Lock()

    def add(self, holding: Holding) -> Holding | None:
        """Returns the earlier holding of the same job, if there is one: its lease is lost, or this one were not."""
        with self._lock:
            earlier = self._by_job.get(_key(holding))
            self._by_job[_key(holding)] = holding
            return earlier

    def remove(self, holding: Holding) -> None:
        with self._lock:
            if self._by_job.get(_key(holding)) is holding:
                del self._by_job[_key(holding)]

    def of_queues(self) -> dict[str, list[Holding]]:
        """Grouped by queue."""
        groups: dict[str, list[Holding]] = {}
        for holding in self:
            groups.setdefault(holding.job.lease.queue, []).append(holding)
        return groups

    def __iter__(self) -> Iterator[Holding]:
        with self._lock:
            return iter(list(self._by_job.values()))

    def __len__(self) -> int:
        return len(self._by_job)


def _key(holding: Holding) -> tuple[str, str]:
    return holding.job.lease.queue, holding.job.lease.job_id
