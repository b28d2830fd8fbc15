"""Dramatiq's view of one queue: hands out leased jobs, and hears how they ended.

Nothing here raises because Redis is away: a consumer that failed would be replaced after a pause, and there is nothing
about it to replace.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import dramatiq
import structlog
from dramatiq.broker import MessageProxy

from server.engine import work
from server.engine.errors import BackendFault
from server.engine.job import LeasedJob
from server.engine.work import RateLimit, Release, Reservation
from workers.holding import Holding, Stage
from workers.message import JobProxy
from workers.outcome import settle
from workers.shift import Shift

_AWAY_SECONDS = 0.5  # between two tries while Redis is away
_DRAINED_SECONDS = 0.05
_FIRST_RELEASE, _LONGEST_RELEASE = timedelta(seconds=1), timedelta(seconds=30)

log = structlog.get_logger(__name__)


class Consumer(dramatiq.Consumer):
    """One per queue and process. `carry` makes the message of a job, or None when this process has no actor for it."""

    def __init__(
        self,
        shift: Shift,
        queue: str,
        *,
        idle: timedelta,
        concurrency: int,
        rate_limit: RateLimit | None,
        carry: Callable[[Holding], JobProxy | None],
    ) -> None:
        self._shift = shift
        self._queue = queue
        self._idle = idle.total_seconds()
        self._concurrency = concurrency
        self._rate_limit = rate_limit
        self._carry = carry
        self._ready: deque[JobProxy] = deque()
        self._strangers: dict[str, int] = {}  # task -> releases in a row
        self._away = False

    def __next__(self) -> JobProxy | None:
        """A job, or None after at most the idle time."""
        if self._ready:
            return self._ready.popleft()
        if self._shift.draining.wait(0):
            self._pause(_DRAINED_SECONDS)
            return None
        places = self._shift.capacity.take(work.RESERVE_LIMIT, seconds=self._idle)
        if places == 0:
            return None
        try:
            reservation = self._reserve(places)
        except BackendFault as error:
            self._shift.capacity.give_back(places)
            self._sit_out(error)
            return None
        self._receive(reservation.jobs, places)
        if self._ready:
            return self._ready.popleft()
        if not reservation.jobs:
            self._wait(reservation)
        return None

    def ack(self, message: MessageProxy) -> None:
        """Called by the thread that ran the job, perhaps more than once. Returns at once; never raises."""
        assert isinstance(message, JobProxy)  # noqa: S101  (this consumer hands out nothing else)
        if message.settled:
            return
        message.settled = True
        holding = message.holding
        self._shift.capacity.give_back(1)
        if holding.stage is Stage.DROPPED:
            return
        holding.end()
        self._shift.capacity.learn(holding.ran_for)
        settlement = settle(holding, message._exception, holding.result)
        if settlement is None:
            self._shift.holdings.remove(holding)
            log.warning(
                f"{self._queue} job lost: its lease ran out while it was running",
                queue=self._queue,
                task=holding.job.request.task,
                job_id=holding.job.request.id,
            )
        else:
            self._shift.settler.settle(holding, settlement)

    nack = ack

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Hands back what no thread has started."""
        for message in messages:
            if isinstance(message, JobProxy):
                self._shift.hand_back(message.holding)
                self._settle_place(message)

    def close(self) -> None:
        """May be called while threads still settle: that goes on."""
        while self._ready:
            self.requeue([self._ready.popleft()])

    def _reserve(self, places: int) -> Reservation:
        number = self._shift.reservations[self._queue] + 1
        reservation = self._shift.engine.run(
            work.reserve(
                self._queue,
                worker=self._shift.worker,
                number=number,
                want=places,
                lease=self._shift.lease,
                concurrency=self._concurrency,
                rate_limit=self._rate_limit,
            )
        )
        # Not before: an answer that was lost is asked for again under the same number.
        self._shift.reservations[self._queue] = number
        if self._away:
            self._away = False
            log.info("storage is back", queue=self._queue)
        return reservation

    def _receive(self, jobs: Sequence[LeasedJob], places: int) -> None:
        for job in jobs:
            holding = Holding(job)
            self._shift.holdings.add(holding)
            message = self._carry(holding)
            if message is None:
                self._release_stranger(holding)
            else:
                self._strangers.pop(job.request.task, None)
                self._ready.append(message)
        self._shift.capacity.give_back(places - len(self._ready))
        if self._shift.draining.is_set():
            self.close()

    def _release_stranger(self, holding: Holding) -> None:
        """A task that this worker does not know: another may, or this one after its next deploy."""
        task = holding.job.request.task
        times = self._strangers[task] = self._strangers.get(task, 0) + 1
        delay = min(_FIRST_RELEASE * (1 << min(times - 1, 10)), _LONGEST_RELEASE)
        log.warning("task unknown to this worker", queue=self._queue, task=task, job_id=holding.job.request.id)
        if holding.drop():
            self._shift.settler.settle(holding, Release(lease=holding.job.lease, delay=delay))

    def _wait(self, reservation: Reservation) -> None:
        """Until somebody pokes the queue, or for as long as waiting without that is wise."""
        seconds = self._idle
        if reservation.ask_again is not None:
            seconds = min(seconds, reservation.ask_again.total_seconds())
        try:
            self._shift.engine.wait_for_work(self._queue, seconds=max(seconds, 0.001))
        except BackendFault as error:
            self._sit_out(error)

    def _sit_out(self, error: BackendFault) -> None:
        if not self._away:
            self._away = True
            log.warning("no jobs to be had", queue=self._queue, reason=str(error))
        self._pause(_AWAY_SECONDS)

    def _pause(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def _settle_place(self, message: JobProxy) -> None:
        if not message.settled:
            message.settled = True
            self._shift.capacity.give_back(1)
