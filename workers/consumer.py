"""Dramatiq's view of one queue: hands out leased jobs, and hears how they ended.

Nothing here raises because Redis is away: a consumer that failed would be replaced after a pause, and there is nothing
about it to replace.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import dramatiq
import structlog
from dramatiq.broker import MessageProxy

from server.engine import work
from server.engine.errors import BackendFault
from server.engine.job import Failure, FailureReason, JobError, Lease, LeasedJob
from server.engine.work import FinalFailure, Found, RateLimit, Release, Reservation, Run
from workers.holding import Holding
from workers.message import JobProxy
from workers.outage import reasons
from workers.outcome import settle
from workers.shift import Shift
from workers.strangers import Strangers

_AWAY_SECONDS = 0.5  # between two tries while Redis is away
_DRAINED_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Consumer(dramatiq.Consumer):
    """One per queue and process.

    `carry` makes the message of a job, or None when this process has no actor for it; it raises PermanentFailure for a
    payload that nobody can read.
    """

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
        self._strangers = Strangers(queue)
        self._away = False
        self._paused = False

    def __next__(self) -> JobProxy | None:
        """A job, or None after at most the idle time."""
        if not self._ready:
            self._fetch()
        return self._ready.popleft() if self._ready else None

    def ack(self, message: MessageProxy) -> None:
        """Called by the thread that ran the job, perhaps more than once. Returns at once; never raises."""
        assert isinstance(message, JobProxy)  # noqa: S101  (this consumer hands out nothing else)
        if message.settled:
            return
        self._free_place(message)
        holding = message.holding
        if not holding.end():
            return
        self._shift.capacity.learn(holding.ran_for)
        settlement = settle(holding, message._exception)
        if settlement is None:
            self._lose(holding)
        else:
            self._shift.settler.settle(holding, settlement)

    nack = ack

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Hands back what no thread has started."""
        for message in messages:
            if isinstance(message, JobProxy):
                self._shift.hand_back(message.holding)
                self._free_place(message)

    def close(self) -> None:
        """May be called while threads still settle: that goes on."""
        self.requeue(self._ready)
        self._ready.clear()

    def _fetch(self) -> None:
        """Fills `_ready`, or waits for a reason to try again."""
        if self._shift.draining.is_set():
            time.sleep(_DRAINED_SECONDS)
            return
        # One place suffices to see whether Redis is back; meanwhile other queues, on other nodes, can use the rest.
        places = self._shift.capacity.take(1 if self._away else work.RESERVE_LIMIT, seconds=self._idle)
        if places == 0:
            return
        try:
            reservation = self._fill(places)
        except BackendFault as error:
            self._sit_out(error)
            return
        if self._shift.draining.is_set():
            self.close()
        elif not reservation.jobs:
            self._wait(reservation)

    def _fill(self, places: int) -> Reservation:
        """Whatever happens, only what is ready then keeps its place."""
        try:
            asked_at = self._shift.asked_at.setdefault(self._queue, time.monotonic())
            reservation = self._reserve(places)
            del self._shift.asked_at[self._queue]
            self._receive(reservation.jobs, asked_at)
            self._bury(reservation.unreadable)
            return reservation
        finally:
            # Fewer than none when an answer that was lost is had after all: it may hold more jobs than were asked for.
            self._shift.capacity.give_back(places - len(self._ready))

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
        self._notice(reservation.found)
        return reservation

    def _notice(self, found: Found) -> None:
        if self._away:
            self._away = False
            log.info("storage is back", queue=self._queue)
        paused = found is Found.PAUSE
        if paused is self._paused:
            return
        self._paused = paused
        log.info("queue paused" if paused else "queue resumed", queue=self._queue)
        if paused:
            self._shift.notice_pause()

    def _receive(self, jobs: Sequence[LeasedJob], asked_at: float) -> None:
        # All of them first: whatever happens then, their leases are kept.
        for holding in [self._shift.hold(job, asked_at=asked_at) for job in jobs]:
            try:
                message = self._carry(holding)
            except Exception as error:
                self._refuse(holding, error)
                continue
            if message is None:
                self._release_stranger(holding)
            else:
                self._ready.append(message)

    def _bury(self, leases: Sequence[Lease]) -> None:
        """Jobs without a record: they end here, or they would come first for ever. Raises BackendFault."""
        if not leases:
            return
        log.error("records unreadable", queue=self._queue, jobs=[lease.job_id for lease in leases])
        words = "its record in Redis cannot be read"
        self._shift.engine.run(
            work.fail(
                self._queue,
                [
                    FinalFailure(
                        run=Run(lease=lease, started_after=None),
                        failure=Failure(reason=FailureReason.PERMANENT, message=words),
                        error=JobError(type="UnreadableRecord", message=words),
                    )
                    for lease in leases
                ],
            )
        )

    def _refuse(self, holding: Holding, error: Exception) -> None:
        """The job ends without having been started."""
        settlement = settle(holding, error)
        if settlement is not None and holding.drop():
            self._shift.settler.settle(holding, settlement)

    def _release_stranger(self, holding: Holding) -> None:
        """Another worker may know the task, or this one after its next deploy."""
        delay = self._strangers.delay(holding.job)
        if holding.drop():
            self._shift.settler.settle(holding, Release(lease=holding.job.lease, delay=delay))

    def _lose(self, holding: Holding) -> None:
        self._shift.holdings.remove(holding)
        request = holding.job.request
        log.warning(
            f"{self._queue} job lost: its lease ran out while it was running",
            queue=self._queue,
            task=request.task,
            job_id=request.id,
        )

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
            log.warning("no jobs to be had", queue=self._queue, **reasons(error))
        self._shift.draining.wait(_AWAY_SECONDS)

    def _free_place(self, message: JobProxy) -> None:
        if not message.settled:
            message.settled = True
            self._shift.capacity.give_back(1)
