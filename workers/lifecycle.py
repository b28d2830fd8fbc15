"""Where Dramatiq's life of a worker process and of a message touches ours."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import dramatiq
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware, Shutdown, SkipMessage

from server.engine import work
from server.engine.work import Attention, Release, Run
from workers.actor import OPTIONS
from workers.holding import Holding
from workers.message import JobProxy
from workers.orphan import end_with_parent
from workers.outage import reasons
from workers.outcome import Settlement, Stop
from workers.shift import Shift

_NO_REDIS = "cabrank: workers need a Redis: set REDIS_URL or REDIS_HOST"

log = structlog.get_logger(__name__)


class Lifecycle(Middleware):
    """Stands first, so that no other middleware sees a message that may not run."""

    def __init__(self, *, configured: bool, open_shift: Callable[[dramatiq.Worker], Shift]) -> None:
        self._configured = configured
        self._open_shift = open_shift
        self._shift: Shift | None = None

    @property
    def actor_options(self) -> set[str]:
        return set(OPTIONS)

    @property
    def shift(self) -> Shift:
        """That of this worker process. Raises RuntimeError in one that is none."""
        if self._shift is None:
            raise RuntimeError("no worker has booted in this process")
        return self._shift

    def after_process_boot(self, broker: dramatiq.Broker) -> None:  # noqa: ARG002
        """SystemExit ends the command with a sentence: anything milder would be logged and survived."""
        if not self._configured:
            print(_NO_REDIS, file=sys.stderr)
            raise SystemExit(2)
        end_with_parent()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self._shift = self._open_shift(worker)
        self._shift.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self.shift.drain()
        for holding in self.shift.holdings:
            actor = broker.actors.get(holding.job.request.task)
            if actor is not None and actor.options.get("notify_shutdown"):
                holding.interrupt(Shutdown)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self.shift.stop()
        self._shift = None

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:  # noqa: ARG002
        if isinstance(message, JobProxy) and not self._begun(message.holding):
            raise SkipMessage("it was handed back")

    def _begun(self, holding: Holding) -> bool:
        """Whether this thread may run the job. One whose lease was lost before marks its start: see `reclaim`."""
        if not holding.begin():
            # Whatever kept it from beginning: nobody else here will run it.
            self.shift.hand_back(holding)
            return False
        return holding.job.spent.lost == 0 or self._marked(holding)

    def _marked(self, holding: Holding) -> bool:
        lease, good_until = holding.job.lease, time.monotonic() + self.shift.lease.total_seconds()
        try:
            attention = self.shift.engine.run(work.extend(lease.queue, [holding.run], lease=self.shift.lease))
        except Exception as error:
            # It must not start unmarked: whether its worker survives it would not be known.
            log.warning("start not marked", queue=lease.queue, job_id=lease.job_id, **reasons(error))
            return self._give_up(holding, Release(lease=lease))
        match attention.get(lease.job_id):
            case Attention.LEASE_LOST:
                return self._give_up(holding, None)
            case Attention.CANCEL:
                return self._give_up(holding, Stop(run=Run(lease=lease, started_after=None)))
            case Attention.PAUSED:
                return self._give_up(holding, Release(lease=lease))
        holding.extend(good_until=good_until)
        return True

    def _give_up(self, holding: Holding, settlement: Settlement | None) -> bool:
        holding.abandon()
        if settlement is None:
            self.shift.holdings.remove(holding)
        else:
            self.shift.settler.settle(holding, settlement)
        return False


class LastCall(Middleware):
    """Stands last, so that it comes first when the worker has stopped: the event loop is still there."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self._lifecycle.shift.last_call()
