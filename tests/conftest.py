"""Real servers for every test that asks for one. Each starts once per process of tests, when it is first asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import structlog
from hypothesis import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.engine.store import Store

# How long one example takes on a busy machine says nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SERVERS = ("valkey", "valkey-cluster", "redis", "redis-cluster")


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, span: timedelta | None = None, **units: float) -> None:
        """By a span, or by `seconds=15`."""
        self.now += timedelta(**units) if span is None else span


class Servers:
    """The servers that run, by their names in SERVERS."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, EmbeddedServer] = {}

    def clean(self, name: str) -> EmbeddedServer:
        """The server, with nothing in it. Skips the test where this machine has none of its kind."""
        server = self._running.get(name) or self._start(name)
        with raw_client(server) as client:
            client.flushall()
        return server

    def stop(self) -> None:
        for server in self._running.values():
            server.kill()

    def _start(self, name: str) -> EmbeddedServer:
        program, _, cluster = name.partition("-")
        found = shutil.which("redis-server")
        if program == "redis" and found is None:
            pytest.skip("no redis-server on PATH")
        binary = Path(found) if found and program == "redis" else None
        folder = self._folder / name
        server = EmbeddedServer.start(folder, binary=binary, cluster=bool(cluster), appendonly=False)
        self._running[name] = server
        return server


def raw_client(server: EmbeddedServer) -> redis.Redis:
    """For what the engine does not do: looking into its keys, and breaking things. It never tries twice."""
    store, once = Store.parse(server.url), Retry(NoBackoff(), 0)
    if store.path:
        return redis.Redis(unix_socket_path=store.path, retry=once)
    ((host, port),) = store.hosts
    return redis.Redis(host=host, port=port, retry=once)


@pytest.fixture(autouse=True)
def every_log() -> None:
    """Importing `workers` configures the logs of the process: no test shall depend on whether another one did."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture
def valkey(servers: Servers) -> EmbeddedServer:
    """For tests that are content with one kind of server."""
    return servers.clean("valkey")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Servers) -> EmbeddedServer:
    """For what must hold on all of them: single nodes, and clusters of one, which refuse keys of two slots."""
    return servers.clean(request.param)


@pytest.fixture
def store(server: EmbeddedServer) -> Store:
    return Store.parse(server.url)


@pytest.fixture
def raw(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with raw_client(server) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(store: Store, clock: Clock) -> Iterator[Engine]:
    """On each kind of server, and on a clock that only the test moves."""
    with Engine(store, clock=clock) as engine:
        yield engine
