"""The page as a whole: what is on it, what it costs, and what it tells when Redis does not."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.metrics import Kind, Metrics, every_series
from tests.conftest import raw_client
from tests.engine.hands import put
from tests.engine.traffic import commands, reads
from tests.metrics.conftest import Server
from tests.metrics.scrape import of_queues, scraped

METHOD = "cabrank.v1.QueueService/GetJob"


async def test_the_page_has_every_series_and_no_others(server: Server) -> None:
    metrics = server(bullmq=True)
    metrics.observe(METHOD, "OK", 0.1)

    text, _ = await metrics.exposition()

    told = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert told.keys() == {series.name.removesuffix("_total") for series in every_series()}
    for series in every_series():
        family = told[series.name.removesuffix("_total")]
        labels = {*series.labels, "le"} if series.kind is Kind.HISTOGRAM else {*series.labels}
        assert (family.type, family.documentation) == (series.kind, series.help)
        assert family.samples, series.name
        assert {*family.samples[0].labels} == labels


def test_every_series_says_how_to_put_servers_together() -> None:
    help_of = {series.name: series.help for series in every_series()}

    assert help_of["cabrank_jobs"].endswith(" Several servers: max by (queue, state).")
    assert help_of["cabrank_job_run_seconds"].endswith(" Several servers: max by (queue, task, le).")
    assert help_of["cabrank_rpc_requests_total"].endswith(" Several servers: sum by (method, code).")
    assert help_of["cabrank_redis_up"].endswith(" Several servers: min.")


async def test_rpcs_are_counted_by_method_and_code(metrics: Metrics) -> None:
    for code, seconds in (("OK", 0.003), ("OK", 0.2), ("NOT_FOUND", 0.001)):
        metrics.observe(METHOD, code, seconds)

    found = await scraped(metrics)

    assert found["cabrank_rpc_requests_total"] == {("OK", METHOD): 2, ("NOT_FOUND", METHOD): 1}
    assert found["cabrank_rpc_seconds_count"] == {(METHOD,): 3}
    assert found["cabrank_rpc_seconds_bucket"]["0.005", METHOD] == 2


async def test_the_memory_of_redis_is_told(metrics: Metrics, valkey: EmbeddedServer) -> None:
    with raw_client(valkey) as raw:
        raw.config_set("maxmemory", 256 * 1024 * 1024)
        try:
            found = await scraped(metrics)
        finally:
            raw.config_set("maxmemory", 0)

    assert found["cabrank_redis_up"] == {(): 1}
    assert found["cabrank_redis_memory_max_bytes"] == {(): 256 * 1024 * 1024}
    assert 100_000 < found["cabrank_redis_memory_bytes"][()] < 256 * 1024 * 1024


async def test_without_redis_the_page_says_so(server: Server, valkey: EmbeddedServer) -> None:
    """And has no counts, rather than old ones; what this process knows by itself stays."""
    first, second = server(), server()
    await scraped(first)
    for metrics in (first, second):
        metrics.observe(METHOD, "UNAVAILABLE", 1.0)
    valkey.stop()
    try:
        down = await scraped(second)
    finally:
        valkey.restart()

    assert down["cabrank_redis_up"] == {(): 0}
    assert not of_queues(down)
    assert "cabrank_redis_memory_bytes" not in down
    assert down["cabrank_rpc_requests_total"] == {("UNAVAILABLE", METHOD): 1}
    assert (await scraped(server()))["cabrank_redis_up"] == {(): 1}


@pytest.mark.parametrize(
    ("key", "field"), [("waiting", None), ("totals", "enqueued:email.welcome"), ("meta", "concurrency")]
)
async def test_wrong_data_in_redis_costs_the_queues_alone(
    metrics: Metrics, valkey: EmbeddedServer, key: str, field: str | None
) -> None:
    """The alert on INTERNAL has to see what callers are told then."""
    metrics.observe(METHOD, "INTERNAL", 0.001)
    name = f"cabrank:{{email}}:{key}"
    with raw_client(valkey) as raw:
        _ = raw.hset(name, field, "no number") if field else raw.set(name, "no sorted set")

    found = await scraped(metrics)

    assert found["cabrank_redis_up"] == {(): 0}
    assert not of_queues(found)
    assert found["cabrank_rpc_requests_total"] == {("INTERNAL", METHOD): 1}


async def test_several_scrapers_cost_one_read(metrics: Metrics, valkey: EmbeddedServer) -> None:
    with raw_client(valkey) as raw:
        await metrics.exposition()
        before = reads(raw)
        await asyncio.gather(*(metrics.exposition() for _ in range(20)))
        after = reads(raw)

    assert after - before - 1 <= 1  # none, unless the machine took a second for it


@pytest.mark.parametrize("queues", [0, 20])
async def test_a_scrape_is_one_round_trip_however_many_queues_there_are(
    server: Server, valkey: EmbeddedServer, queues: int
) -> None:
    names = tuple(f"q{n}" for n in range(queues))
    await server(queues=names).exposition()

    with raw_client(valkey) as raw:
        before = reads(raw)
        await server(queues=names).exposition()
        after = reads(raw)

    assert after - before == 1 + 1  # the other one is ours, which asked for the number


async def test_a_scrape_costs_the_same_however_many_jobs_there_are(
    server: Server, valkey: EmbeddedServer, engine: Engine
) -> None:
    """In commands, those within scripts included."""
    with raw_client(valkey) as raw:

        async def cost() -> int:
            before = commands(raw)
            await server().exposition()
            return commands(raw) - before

        put(engine, *(f"a{n}" for n in range(10)))
        await cost()  # brings the script along
        few = await cost()
        for batch in range(10):
            put(engine, *(f"b{batch}-{n}" for n in range(1000)))
        many = await cost()

    assert 0 < few == many
