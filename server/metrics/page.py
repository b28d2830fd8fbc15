"""The page as a whole, and the rpcs of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

from server.catalog import Catalog
from server.engine.async_engine import AsyncEngine
from server.metrics import queues, redis
from server.metrics.series import Kind, Series
from server.settings import QueueSettings

BUILD = Series(name="cabrank_build_info", says="Which build answers: 1.", labels=("version",), servers="sum")
REQUESTS = Series(
    name="cabrank_rpc_requests_total",
    says="Rpcs that ended on this server since it started, by code.",
    kind=Kind.COUNTER,
    labels=("method", "code"),
    servers="sum",
)
SECONDS = Series(
    name="cabrank_rpc_seconds",
    says="How long rpcs on this server took, long polls included; streams until their first answer.",
    kind=Kind.HISTOGRAM,
    labels=("method",),
    servers="sum",
)
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per server. `bullmq`: with the alias for boards that were made for BullMQ."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        catalog: Catalog,
        settings_of: Callable[[str], QueueSettings],
        bullmq: bool = False,
    ) -> None:
        # Or each of our own series comes with a second one that nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        series = (*queues.SERIES, queues.BULLMQ) if bullmq else queues.SERIES
        self._reading = redis.Reading(engine, catalog=catalog, settings_of=settings_of, series=series)
        self._registry = CollectorRegistry()
        self._registry.register(self._reading)
        build = Gauge(BUILD.name, BUILD.help, BUILD.labels, registry=self._registry)
        build.labels(metadata.version("cabrank")).set(1)
        self._requests = Counter(REQUESTS.name, REQUESTS.help, REQUESTS.labels, registry=self._registry)
        self._seconds = Histogram(SECONDS.name, SECONDS.help, SECONDS.labels, registry=self._registry, buckets=_BUCKETS)

    def observe(self, method: str, code: str, seconds: float) -> None:
        """One rpc that ended."""
        self._requests.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    async def exposition(self) -> tuple[bytes, str]:
        """The text and its media type; also when Redis is away: then without the queues, and says so."""
        await self._reading.refresh()
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def every_series() -> Iterator[Series]:
    """All that the page can have, as documentation lists them."""
    yield from queues.SERIES
    yield from (redis.UP, redis.USED, redis.LIMIT, REQUESTS, SECONDS, BUILD, queues.BULLMQ)
