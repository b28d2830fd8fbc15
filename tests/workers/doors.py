"""Jobs that last until the test lets them end."""

from __future__ import annotations

import threading
from datetime import timedelta

from server.catalog import JobContext, handler
from server.engine.job import JobState
from tests.workers.conftest import OnDuty
from tests.workers.duty import Duty, Probe, new_job, probe, until

LOOK = probe()


class Doors:
    """A handler whose every run waits until the doors are opened."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.opened = threading.Event()
        self.order: list[int] = []
        self.handler = handler(LOOK)(self._run)

    def _run(self, payload: Probe, _job: JobContext) -> None:
        self.order.append(payload.n)
        self.inside.release()
        self.opened.wait(20)  # in one step: no interrupt ends it

    def entered(self, count: int) -> None:
        for _ in range(count):
            assert self.inside.acquire(timeout=20)


def with_stock(doors: Doors, on_duty: OnDuty, count: int) -> tuple[Duty, list[str]]:
    """One job runs, the others lie in stock."""
    duty = on_duty(doors.handler, threads=1)
    duty.shift.capacity.learn(timedelta(milliseconds=1))
    first = duty.enqueue(LOOK, Probe(n=0))
    doors.entered(1)
    stock = duty.enqueue_all([new_job(LOOK, Probe(n=n)) for n in range(1, count)])
    until(lambda: duty.counts() == {JobState.ACTIVE: count})
    return duty, [first, *stock]
