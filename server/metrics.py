"""What Prometheus is told: the queues as Redis has them at that moment, and the rpcs of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server import logs
from server.engine.engine import AsyncEngine
from server.engine.job import JobState
from server.engine.steer import Counts, counts

_FRESH_SECONDS = 1.0  # two scrapers cost one read
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per server. Labels hold names of queues, states, rpcs and codes, never what a caller wrote."""

    def __init__(self, engine: AsyncEngine, queues: Sequence[str]) -> None:
        # Or each of our own series comes with a second one that nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._queues = _Queues(engine, queues)
        self._registry = CollectorRegistry()
        self._registry.register(self._queues)
        build = Gauge("cabrank_build_info", "Which build answers.", ("version",), registry=self._registry)
        build.labels(metadata.version("cabrank")).set(1)
        self._requests = Counter(
            "cabrank_rpc_requests", "Rpcs that ended, by code.", ("method", "code"), registry=self._registry
        )
        self._seconds = Histogram(
            "cabrank_rpc_seconds", "How long rpcs took.", ("method",), registry=self._registry, buckets=_BUCKETS
        )

    def observe(self, method: str, code: str, seconds: float) -> None:
        """One rpc that ended."""
        self._requests.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    async def exposition(self) -> tuple[bytes, str]:
        """The text and its media type; also when Redis is away: then without the queues, and says so."""
        await self._queues.refresh()
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Queues(Collector):
    """The counts of every queue. Read before they are collected: collecting cannot await."""

    def __init__(self, engine: AsyncEngine, queues: Sequence[str]) -> None:
        self._engine = engine
        self._queues = queues
        self._counts: dict[str, Counts] | None = None
        self._read_at = -_FRESH_SECONDS
        self._reading = asyncio.Lock()
        self._log = logs.get_logger(__name__)

    async def refresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < _FRESH_SECONDS:
                return
            self._counts = await self._read()
            self._read_at = time.monotonic()

    async def _read(self) -> dict[str, Counts] | None:
        try:
            found = await self._engine.run_all([counts(queue) for queue in self._queues])
        except Exception as error:  # when something is wrong, the rest of the page is wanted most
            self._log.warning("metrics without queues", why=str(error))
            return None
        return dict(zip(self._queues, found, strict=True))

    def describe(self) -> Iterator[Metric]:
        """Nothing: or registering would collect."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("cabrank_redis_up", "Whether Redis answers.", value=self._counts is not None)
        yield from _families(self._counts or {})


def _families(counts_of: Mapping[str, Counts]) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("cabrank_jobs", "Jobs that stand in a state.", labels=("queue", "state"))
    paused = GaugeMetricFamily("cabrank_queue_paused", "1 while no job of the queue is handed out.", labels=("queue",))
    for queue, found in counts_of.items():
        paused.add_metric((queue,), found.paused)
        for state in JobState:
            jobs.add_metric((queue, state), found[state])
    yield from (jobs, paused)
