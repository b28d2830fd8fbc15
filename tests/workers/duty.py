"""A worker on duty in this process: a broker with handlers of the test, Dramatiq's own Worker, a real Valkey."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import dramatiq
import msgspec
from dramatiq.asyncio import get_event_loop_thread, set_event_loop_thread

from server.catalog import Catalog, Handler, Payload, Task
from server.dev.valkey import EmbeddedServer
from server.engine import admit, look
from server.engine.engine import Engine
from server.engine.job import Job, JobState, NewJob
from server.engine.names import new_job_id
from server.engine.store import Store
from server.settings import Settings
from server.settings.redis import RedisSettings
from workers.actor import declare
from workers.broker import Broker
from workers.shift import Shift

QUEUE = "probe"


class Probe(Payload, frozen=True):
    """The payload of most tasks here."""

    n: int = 0
    text: str = ""


def probe(name: str = "probe.look", **fields: Any) -> Task[Any]:
    usual: dict[str, Any] = {"queue": QUEUE, "payload": Probe}
    return Task(name=name, **(usual | fields))


def settings(url: str | None, *, queues: Mapping[str, str] | None = None, **fields: Any) -> Settings:
    variables = {"PROBE_QUEUE_CONCURRENCY": "1000", "JOB_RETRY_DELAY": "1"} | dict(queues or {})
    return Settings(redis=RedisSettings(given_url=url), queue_variables=variables, **fields)


class Duty:
    """`start` takes it up; `with` ends it, and the broker with it.

    `idle_ms`: how long Dramatiq's threads wait for work. So soon they see that they shall stop.
    """

    def __init__(
        self,
        server: EmbeddedServer,
        *handlers: Handler[Any],
        threads: int = 8,
        idle_ms: int = 25,
        queues: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        self.server = server
        tasks = {handler.task.name: handler.task for handler in handlers}
        named = {handler.task.name: handler for handler in handlers}
        names = tuple(dict.fromkeys((QUEUE, *(task.queue for task in tasks.values()))))
        catalog = Catalog(tasks=tasks, handlers=named, queues=names)
        self.broker = Broker(settings(server.url, queues=queues, **fields), catalog)
        for queue in names:
            self.broker.declare_queue(queue)
        for handler in handlers:
            declare(self.broker, handler)
        # A way past the broker, to see what it did.
        self.engine = Engine(Store.parse(server.url))
        self._threads = threads
        self._idle_ms = idle_ms
        self.worker: dramatiq.Worker | None = None

    @property
    def shift(self) -> Shift:
        return self.broker._lifecycle.shift

    def plain_actor(self, function: Callable[..., Any], **options: Any) -> dramatiq.Actor[Any, Any]:
        """As `@dramatiq.actor` makes it, for those who know nothing of tasks."""
        decorate: Any = dramatiq.actor(queue_name=QUEUE, broker=self.broker, **options)
        return decorate(function)  # type: ignore[no-any-return]

    @property
    def threads_alive(self) -> int:
        assert self.worker is not None
        return sum(thread.is_alive() for thread in self.worker.workers)

    def start(self) -> Self:
        self.worker = dramatiq.Worker(self.broker, worker_timeout=self._idle_ms, worker_threads=self._threads)
        self.worker.start()
        self._loop = get_event_loop_thread()
        return self

    def stop(self, *, timeout_ms: int = 10_000) -> None:
        worker, self.worker = self.worker, None
        if worker is None:
            return
        # Dramatiq knows one event loop per process; here there may be several workers.
        newest = get_event_loop_thread()
        set_event_loop_thread(self._loop)
        worker.stop(timeout_ms)
        set_event_loop_thread(newest if newest is not self._loop else None)
        self.broker.middleware.pop()  # the worker's own

    def enqueue(self, task: Task[Any], payload: Payload | bytes | None = None, **fields: Any) -> str:
        """Returns the job's id."""
        return self.enqueue_all([new_job(task, payload, **fields)])[0]

    def enqueue_all(self, jobs: list[NewJob]) -> list[str]:
        for at in range(0, len(jobs), admit.BATCH_LIMIT):
            self.engine.run(admit.enqueue(jobs[at].queue, jobs[at : at + admit.BATCH_LIMIT]))
        return [job.id for job in jobs]

    def job(self, job_id: str, queue: str = QUEUE) -> Job:
        return self.engine.run(admit.get(queue, job_id))

    def state(self, job_id: str, queue: str = QUEUE) -> JobState:
        return self.job(job_id, queue).state

    def counts(self, queue: str = QUEUE) -> dict[JobState, int]:
        """Where jobs stand; states without any are left out."""
        return {state: count for state, count in self.engine.run(look.stats(queue)).jobs.items() if count}

    def when(self, job_id: str, *states: JobState, queue: str = QUEUE, seconds: float = 20) -> Job:
        """The job, as soon as it is in one of these states; without any, when it is at its end."""
        until(lambda: _has_come(self.state(job_id, queue), states), seconds=seconds)
        return self.job(job_id, queue)

    def all_in(self, state: JobState, count: int, *, seconds: float = 30) -> None:
        until(lambda: self.counts() == {state: count}, seconds=seconds)

    def settled(self) -> None:
        """Waits until this process has nothing in hand any more."""
        until(lambda: len(self.shift.holdings) == 0 and self.shift.capacity.taken == 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.broker.close()
        self.engine.close()


def new_job(task: Task[Any], payload: Payload | bytes | None = None, **fields: Any) -> NewJob:
    exact = payload if isinstance(payload, bytes) else msgspec.json.encode(payload or Probe())
    masked = task.mask(exact)
    return NewJob(
        **{
            "queue": task.queue,
            "id": new_job_id(),
            "task": task.name,
            "payload": exact,
            "masked": masked if masked != exact else None,
            "max_attempts": task.max_attempts or 4,
            "timeout": task.timeout,
        }
        | fields
    )


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Waits for a condition. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.002)


def _has_come(state: JobState, wanted: tuple[JobState, ...]) -> bool:
    return state in wanted if wanted else state.terminal


@contextmanager
def shorter_turns() -> Iterator[None]:
    """Threads take turns every 10 µs rather than every 5 ms: they meet in many more places."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
