"""What is read from Redis when somebody asks for the page: all queues in one round trip, however much they hold."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server import logs
from server.admin.health import Overview
from server.admin.rules import Rules
from server.catalog import Catalog
from server.engine.async_engine import AsyncEngine
from server.engine.look import Stats, stats
from server.engine.memory import Memory
from server.metrics.family import Queue, QueueSeries, families
from server.metrics.series import Series
from server.settings import QueueSettings

UP = Series(
    name="cabrank_redis_up",
    says="1 when Redis answered this server; at 0 there are no series of queues.",
    servers="min",
)
USED = Series(name="cabrank_redis_memory_bytes", says="Memory that Redis uses, over all primaries.")
LIMIT = Series(
    name="cabrank_redis_memory_max_bytes", says="Memory that Redis may use, over all primaries; 0 when it has no limit."
)
_FRESH_SECONDS = 1.0  # several scrapers cost one read


class Reading(Collector):
    """Refreshed before it is collected: collecting cannot await."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        catalog: Catalog,
        settings_of: Callable[[str], QueueSettings],
        series: Sequence[QueueSeries],
    ) -> None:
        self._engine = engine
        self._settings = {queue: settings_of(queue) for queue in catalog.queues}
        self._tasks = _tasks_of_queues(catalog)
        self._series = series
        self._families: list[Metric] = []
        self._read_at = -_FRESH_SECONDS
        self._reading = asyncio.Lock()
        self._log = logs.get_logger(__name__)

    async def refresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < _FRESH_SECONDS:
                return
            self._families = await self._read()
            self._read_at = time.monotonic()

    def describe(self) -> Iterator[Metric]:
        """Nothing: or registering would collect."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)

    async def _read(self) -> list[Metric]:
        try:
            found, memory = await self._engine.survey([stats(queue) for queue in self._settings])
            queues = [self._queue(name, each) for name, each in zip(self._settings, found, strict=True)]
            return [_gauge(UP, 1), *_memory(memory), *families(self._series, queues)]
        except Exception as error:  # when something is wrong, the rest of the page is wanted most
            self._log.warning("metrics without queues", why=str(error))
            return [_gauge(UP, 0)]

    def _queue(self, name: str, found: Stats) -> Queue:
        tasks, rules = self._tasks[name], Rules.of(self._settings[name], found.overrides)
        return Queue.of(Overview(name=name, stats=found, rules=rules, has_tasks=bool(tasks)), tasks)


def _tasks_of_queues(catalog: Catalog) -> defaultdict[str, list[str]]:
    tasks = defaultdict(list)
    for task in catalog.tasks.values():
        tasks[task.queue].append(task.name)
    return tasks


def _memory(memory: Memory | None) -> Iterator[Metric]:
    if memory:
        yield _gauge(USED, memory.used)
        yield _gauge(LIMIT, memory.limit)


def _gauge(series: Series, value: float) -> Metric:
    return GaugeMetricFamily(series.name, series.help, value=value)
