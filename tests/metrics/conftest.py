from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from server.catalog import Catalog
from server.dev.valkey import EmbeddedServer
from server.engine.async_engine import AsyncEngine
from server.engine.engine import Engine
from server.engine.store import Store
from server.metrics import Metrics
from server.settings import Settings
from tests.conftest import Clock
from tests.engine.hands import Worker

Server = Callable[..., Metrics]


@pytest.fixture
async def async_engine(valkey: EmbeddedServer, clock: Clock) -> AsyncIterator[AsyncEngine]:
    engine = AsyncEngine(Store.parse(valkey.url), timeout=1.0, clock=clock)
    yield engine
    await engine.close()


@pytest.fixture
def server(async_engine: AsyncEngine) -> Server:
    """Makes what one server tells: each of them reads anew, while one alone would tell the same for a second."""

    def make(*, queues: tuple[str, ...] = (), bullmq: bool = False) -> Metrics:
        catalog = Catalog.load(queues=queues)
        return Metrics(async_engine, catalog=catalog, settings_of=Settings().queue, bullmq=bullmq)

    return make


@pytest.fixture
def metrics(server: Server) -> Metrics:
    return server()


@pytest.fixture
def engine(valkey: EmbeddedServer, clock: Clock) -> Iterator[Engine]:
    with Engine(Store.parse(valkey.url), clock=clock) as engine:
        yield engine


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine)
