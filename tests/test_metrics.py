"""What Prometheus is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from server.dev.valkey import EmbeddedServer
from server.engine.engine import AsyncEngine, Engine
from server.engine.job import JobState
from server.engine.steer import pause
from server.engine.store import Store
from server.metrics import Metrics
from tests.conftest import raw_client
from tests.engine.hands import Worker, completed, put

QUEUES = ("email", "sync")
Samples = dict[str, dict[tuple[str, ...], float]]


@pytest.fixture
async def metrics(valkey: EmbeddedServer) -> AsyncIterator[Metrics]:
    engine = AsyncEngine(Store.parse(valkey.url), timeout=1.0)
    yield Metrics(engine, QUEUES)
    await engine.close()


@pytest.fixture
def worker(valkey: EmbeddedServer) -> Iterator[Worker]:
    with Engine(Store.parse(valkey.url)) as engine:
        yield Worker(engine)


async def scraped(metrics: Metrics) -> Samples:
    """name -> values of the labels in the order of their names -> value."""
    text, _ = await metrics.exposition()
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_every_queue_has_every_state(metrics: Metrics, worker: Worker) -> None:
    """Zero included: a rule on a series that is absent never fires."""
    put(worker.engine, "a", "b", "c")
    worker.engine.run(completed(worker.take_one()))
    worker.take_one()

    jobs = (await scraped(metrics))["cabrank_jobs"]

    assert jobs.keys() == {(queue, state) for queue in QUEUES for state in JobState}
    assert {state: count for (queue, state), count in jobs.items() if queue == "email" and count} == {
        "waiting": 1,
        "active": 1,
        "completed": 1,
    }
    assert not any(count for (queue, _), count in jobs.items() if queue == "sync")


async def test_a_paused_queue_says_so(metrics: Metrics, worker: Worker) -> None:
    worker.engine.run(pause("email"))

    assert (await scraped(metrics))["cabrank_queue_paused"] == {("email",): 1, ("sync",): 0}


async def test_without_redis_the_page_says_so(metrics: Metrics, valkey: EmbeddedServer) -> None:
    """And has no counts, rather than old ones; what this process knows by itself stays."""
    metrics.observe("cabrank.v1.QueueService/Enqueue", "UNAVAILABLE", 1.0)
    valkey.stop()
    try:
        down = await scraped(metrics)
    finally:
        valkey.restart()

    assert down["cabrank_redis_up"] == {(): 0}
    assert "cabrank_jobs" not in down
    assert down["cabrank_rpc_requests_total"] == {("UNAVAILABLE", "cabrank.v1.QueueService/Enqueue"): 1}


async def test_a_redis_that_answers_with_an_error_costs_the_counts_alone(
    metrics: Metrics, valkey: EmbeddedServer
) -> None:
    """The alert on INTERNAL has to see what callers are told then."""
    metrics.observe("cabrank.v1.QueueService/Enqueue", "INTERNAL", 0.001)
    with raw_client(valkey) as client:
        client.set("cabrank:{email}:waiting", "no sorted set")

    found = await scraped(metrics)

    assert found["cabrank_redis_up"] == {(): 0}
    assert found["cabrank_rpc_requests_total"] == {("INTERNAL", "cabrank.v1.QueueService/Enqueue"): 1}


async def test_rpcs_are_counted_by_method_and_code(metrics: Metrics) -> None:
    for code, seconds in (("OK", 0.003), ("OK", 0.2), ("NOT_FOUND", 0.001)):
        metrics.observe("cabrank.v1.QueueService/GetJob", code, seconds)

    found = await scraped(metrics)

    method = "cabrank.v1.QueueService/GetJob"
    assert found["cabrank_rpc_requests_total"] == {("OK", method): 2, ("NOT_FOUND", method): 1}
    assert found["cabrank_rpc_seconds_count"] == {(method,): 3}
    assert found["cabrank_rpc_seconds_bucket"]["0.005", method] == 2


async def test_the_page_has_these_series_and_no_others(metrics: Metrics) -> None:
    metrics.observe("cabrank.v1.QueueService/GetJob", "OK", 0.1)

    found = await scraped(metrics)

    assert found.keys() == {
        *("cabrank_jobs", "cabrank_queue_paused", "cabrank_redis_up", "cabrank_build_info"),
        *("cabrank_rpc_requests_total", "cabrank_rpc_seconds_bucket", "cabrank_rpc_seconds_count"),
        "cabrank_rpc_seconds_sum",
    }
    assert found["cabrank_redis_up"] == {(): 1}


async def test_several_scrapers_cost_one_read(metrics: Metrics, valkey: EmbeddedServer) -> None:
    with raw_client(valkey) as client:
        await metrics.exposition()
        before = scripts_run(client)
        await asyncio.gather(*(metrics.exposition() for _ in range(20)))
        after = scripts_run(client)

    assert after - before <= len(QUEUES)  # none, unless the machine took a second for it


def scripts_run(client: redis.Redis) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])
