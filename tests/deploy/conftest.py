from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.catalog import Catalog
from server.dev.valkey import EmbeddedServer
from server.engine.async_engine import AsyncEngine
from server.engine.store import Store
from server.metrics import Metrics
from server.settings import Settings
from tests.conftest import Servers
from tests.deploy.prometheus import Watch

Exported = dict[str, set[str]]


@pytest.fixture(scope="session")
def exported(servers: Servers) -> Exported:
    """Every series of a real page -> the names of its labels."""
    text = asyncio.run(_page(servers.clean("valkey")))
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    """A stack with one server and no workers, and a Prometheus that watches it."""
    with Watch() as watch:
        yield watch


async def _page(valkey: EmbeddedServer) -> str:
    engine = AsyncEngine(Store.parse(valkey.url), timeout=1.0)
    try:
        metrics = Metrics(engine, catalog=Catalog.load(), settings_of=Settings().queue)
        metrics.observe("cabrank.v1.QueueService/Enqueue", "OK", 0.001)  # those of rpcs begin with the first
        text, _ = await metrics.exposition()
    finally:
        await engine.close()
    return text.decode()
