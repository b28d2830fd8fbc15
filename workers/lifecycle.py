"""Where Dramatiq's life of a worker process and of a message touches ours."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware, SkipMessage

from server.engine import work
from server.engine.errors import BackendFault
from server.engine.work import Attention, Run
from workers.actor import FROM_CATALOG
from workers.holding import Holding
from workers.message import JobProxy
from workers.shift import Shift

_PR_SET_PDEATHSIG = 1
_NO_REDIS = "cabrank: workers need a Redis: set REDIS_URL or REDIS_HOST"


class Lifecycle(Middleware):
    """Stands first, so that its `before` hooks see a message before all others and its `after` hooks after them."""

    def __init__(self, *, configured: bool, open_shift: Callable[[int], Shift]) -> None:
        self._configured = configured
        self._open_shift = open_shift
        self._shift: Shift | None = None

    @property
    def actor_options(self) -> set[str]:
        return {FROM_CATALOG, "max_retries"}

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
        _end_with_parent()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self._shift = self._open_shift(worker.worker_threads)
        self._shift.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self.shift.drain()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self.shift.stop()
        self._shift = None

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:  # noqa: ARG002
        if isinstance(message, JobProxy) and not self._begun(message.holding):
            raise SkipMessage("it was handed back")

    def after_process_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,  # noqa: ARG002
    ) -> None:
        if isinstance(message, JobProxy):
            message.holding.end()
            if result is not None:  # of a plain actor
                message.holding.result = result

    def _begun(self, holding: Holding) -> bool:
        """Whether this thread may run the job. One whose lease was lost before marks its start: see `reclaim`."""
        if not holding.begin():
            return False
        if holding.job.spent.lost == 0 or self._marked(holding.run):
            return True
        holding.abandon()
        self.shift.holdings.remove(holding)
        return False

    def _marked(self, run: Run) -> bool:
        try:
            attention = self.shift.engine.run(work.extend(run.lease.queue, [run], lease=self.shift.lease))
        except BackendFault:
            # It must not start unmarked. Its lease runs out, and it comes again.
            return False
        return attention.get(run.lease.job_id) is not Attention.LEASE_LOST


def _end_with_parent() -> None:
    """A worker process whose `dramatiq` command was killed drains and ends, rather than working on unseen (Linux)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            raise SystemExit(0)
