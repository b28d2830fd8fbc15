"""A shift without Dramatiq's threads: the test takes their part, step by step."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import dramatiq

from server.engine import sweep, work
from tests.conftest import raw_client
from tests.workers.duty import QUEUE, Duty
from workers.message import JobProxy

THREADS = 4
_LEASE = timedelta(seconds=15)


class Desk:
    """One consumer of the usual queue. `with` ends the shift."""

    def __init__(self, duty: Duty) -> None:
        self.duty = duty
        self.lifecycle = duty.broker._lifecycle
        self._worker = cast(dramatiq.Worker, SimpleNamespace(worker_threads=THREADS, consumer_whitelist=None))
        self.lifecycle.before_worker_boot(duty.broker, self._worker)
        self.shift = duty.shift
        self.consumer = duty.broker.consume(QUEUE, timeout=20)

    @property
    def free(self) -> int:
        """Places, where nothing was learned of how long jobs take."""
        free = self.shift.capacity.take(1000, seconds=0)
        self.shift.capacity.give_back(free)
        return free

    def take(self) -> JobProxy:
        message = next(self.consumer)
        assert message is not None
        return message

    def run(self, message: JobProxy, error: BaseException | None = None) -> None:
        """As a thread of Dramatiq does it."""
        self.lifecycle.before_process_message(self.duty.broker, message)
        if error is not None:
            message.stuff_exception(error)
        self.consumer.ack(message)

    def settled(self) -> None:
        assert self.shift.settler.drain(seconds=20)

    def reserve_elsewhere(self, number: int = 1) -> None:
        """By a worker that is not heard of again."""
        self.duty.engine.run(work.reserve(QUEUE, worker="gone", number=number, want=1, lease=_LEASE))

    def lose(self, job_id: str) -> None:
        """Lets the lease that somebody has on the job run out."""
        with raw_client(self.duty.server) as raw:
            raw.zadd(f"cabrank:{{{QUEUE}}}:active", {job_id: 1})
        self.duty.engine.run(sweep.reclaim(QUEUE, hold=timedelta(0)))

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.shift.last_call()
        self.lifecycle.after_worker_shutdown(self.duty.broker, self._worker)
