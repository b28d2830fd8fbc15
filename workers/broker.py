"""The Dramatiq broker whose queues are cabrank's: what `dramatiq workers` reserves from and settles with.

Delays and retries live in Redis and are decided in the settlement, so Dramatiq's own Retries, AgeLimit, Callbacks and
Pipelines have no place here: their state would be a second truth. TimeLimit and ShutdownNotifications are left out for
what they would interrupt: see `body`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dramatiq
from dramatiq.errors import ActorNotFound, ConnectionClosed, QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import CurrentMessage, Middleware

from server.catalog import Catalog
from server.engine import admit, look
from server.engine.engine import Engine
from server.engine.errors import BackendFault
from server.engine.job import JobState, NewJob
from server.engine.names import checked_queue
from server.engine.store import Store
from server.engine.sweep import Retention, Retentions
from server.engine.work import RateLimit
from server.settings import QueueSettings, Settings
from workers.actor import adopt, arguments_of
from workers.consumer import Consumer
from workers.holding import Holding
from workers.lifecycle import LastCall, Lifecycle
from workers.loop import EventLoop
from workers.message import JobProxy
from workers.order import job_of
from workers.shift import Shift

_LIVE = (JobState.WAITING, JobState.DELAYED, JobState.ACTIVE)
_LOOK_EVERY_SECONDS = 0.05
_OTHER_CONNECTIONS = 24


class Broker(dramatiq.Broker):
    """Touches no network until a worker boots or a message is sent: importing it works while Redis is down."""

    def __init__(self, settings: Settings, catalog: Catalog, *, middleware: Sequence[Middleware] = ()) -> None:
        """Raises InvalidValue for a Redis URL that is none."""
        self.settings = settings
        self.catalog = catalog
        self.queues: dict[str, None] = {}
        self._store = Store.parse(settings.redis_url) if settings.redis_url else None
        self._engine: tuple[int, Engine] | None = None  # of the process with this pid
        self._lifecycle = Lifecycle(configured=self._store is not None, open_shift=self._open_shift)
        ours = [self._lifecycle, CurrentMessage(), EventLoop(), *middleware, LastCall(self._lifecycle)]
        super().__init__(middleware=ours)
        # The base class starts with an empty table of its own.
        self.queues = dict.fromkeys(self.queues)

    @property
    def engine(self) -> Engine:
        """This process's way to Redis. Raises RuntimeError when none is configured."""
        if self._engine is None or self._engine[0] != os.getpid():
            if self._store is None:
                raise RuntimeError("no Redis is configured: set REDIS_URL or REDIS_HOST")
            # A connection for every consumer, which waits on it, and some for the threads that settle and look after.
            self._engine = (os.getpid(), Engine(self._store, connections=len(self.queues) + _OTHER_CONNECTIONS))
        return self._engine[1]

    def declare_actor(self, actor: dramatiq.Actor[Any, Any]) -> None:
        adopt(actor)
        super().declare_actor(actor)

    def declare_queue(self, queue_name: str) -> None:
        """Raises InvalidValue for a name that no queue can have, SettingsError for what is set for it."""
        if queue_name not in self.queues:
            # Now, and not when a worker boots: there it would be logged and survived.
            self.settings.queue(checked_queue(queue_name))
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """For `actor.send`. `delay` in ms. Raises ConnectionClosed while Redis is away, and what the engine refuses."""
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)  # type: ignore[no-untyped-call]
        job = self._ordered(message, delay or 0)
        self.emit_before("enqueue", message, delay)
        try:
            self.engine.run(admit.enqueue(job.queue, [job]))
        except BackendFault as error:
            raise ConnectionClosed(str(error)) from error  # type: ignore[no-untyped-call]
        self.emit_after("enqueue", message, delay)
        return message

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 1000) -> Consumer:  # noqa: ARG002  (the shift's capacity decides)
        """`timeout` (ms): how long a consumer may wait before it says that there is nothing."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        rules = self.settings.queue(queue_name)
        return Consumer(
            self._lifecycle.shift,
            queue_name,
            idle=timedelta(milliseconds=min(timeout, 1000)),
            concurrency=rules.concurrency,
            rate_limit=_rate_limit(rules),
            carry=self._carry,
        )

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def join(self, queue_name: str, *, timeout: int | None = None) -> None:
        """Waits until the queue has no job that is not at its end. `timeout` in ms. Raises QueueJoinTimeout."""
        ends = None if timeout is None else time.monotonic() + timeout / 1000
        while True:
            stats = self.engine.run(look.stats(queue_name))
            if not any(stats[state] for state in _LIVE):
                return
            if ends is not None and time.monotonic() >= ends:
                raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
            time.sleep(_LOOK_EVERY_SECONDS)

    def close(self) -> None:
        """May be called twice."""
        if self._engine is not None:
            self._engine[1].close()
            self._engine = None

    def _ordered(self, message: dramatiq.Message[Any], delay: int) -> NewJob:
        actor = self.actors.get(message.actor_name)
        options = (actor.options if actor else {}) | message.options
        task = self.catalog.tasks.get(message.actor_name)
        return job_of(message, task, self.settings.queue(message.queue_name), options=options, delay=delay)

    def _open_shift(self, worker: dramatiq.Worker) -> Shift:
        consumed = [queue for queue in self.queues if queue in (worker.consumer_whitelist or self.queues)]
        return Shift(
            self.engine,
            threads=worker.worker_threads,
            lease=self.settings.lease,
            concurrency={queue: self.settings.queue(queue).concurrency for queue in consumed},
            queues=tuple(self.queues),
            retentions=lambda queue: _retentions(self.settings.queue(queue)),
            tasks=lambda queue: sorted(name for name, actor in self.actors.items() if actor.queue_name == queue),
        )

    def _carry(self, holding: Holding) -> JobProxy | None:
        try:
            actor = self.get_actor(holding.job.request.task)
        except ActorNotFound:
            return None
        args, kwargs = arguments_of(actor, holding, self._lifecycle.shift.settler)
        return JobProxy(holding, args, kwargs)


def _rate_limit(rules: QueueSettings) -> RateLimit | None:
    if rules.rate_limit is None:
        return None
    return RateLimit(count=rules.rate_limit.count, period=rules.rate_limit.period)


def _retentions(rules: QueueSettings) -> Retentions:
    completed = Retention(age=rules.completed_retention.age, count=rules.completed_retention.count)
    failed = Retention(age=rules.failed_retention.age, count=rules.failed_retention.count)
    return Retentions(completed=completed, failed=failed, cancelled=completed)
