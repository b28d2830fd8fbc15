"""The gRPC server, in the loop of the test, on a real Valkey and asked over a real socket."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
import redis
from cabrank.v1.admin_pb2_grpc import AdminServiceStub
from cabrank.v1.email_pb2_grpc import EmailServiceStub
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from server.admin import Admin
from server.catalog import Catalog
from server.dev.valkey import EmbeddedServer
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.engine import Engine
from server.engine.store import Store
from server.engine.sweep import Retention, Retentions, prune
from server.rpc.intake import Intake
from server.rpc.server import RpcServer
from server.settings import Address, Settings
from tests.conftest import raw_client
from tests.engine.hands import Worker

if TYPE_CHECKING:
    from cabrank.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from cabrank.v1.email_pb2_grpc import EmailServiceAsyncStub
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

ANYWHERE = Address(host="127.0.0.1", port=0)


@dataclass
class Door:
    """A server that listens, and what a test may turn on it."""

    server: RpcServer
    address: str
    observed: list[tuple[str, str, float]]
    why_not: list[str] = field(default_factory=list)  # anything in here: the server is not ready


@asynccontextmanager
async def opened(
    engine: AsyncEngine, catalog: Catalog | None = None, settings: Settings | None = None
) -> AsyncIterator[Door]:
    why_not: list[str] = []
    observed: list[tuple[str, str, float]] = []

    async def unready() -> str | None:
        return why_not[0] if why_not else None

    commits = Commits(engine)
    catalog, settings_of = catalog or Catalog.load(), (settings or Settings()).queue
    server = RpcServer(
        engine=engine,
        commits=commits,
        admin=Admin(engine=engine, commits=commits, catalog=catalog, settings_of=settings_of),
        intake=Intake(catalog, settings_of),
        unready=unready,
        observe=lambda *observation: observed.append(observation),
        reflected=True,
    )
    address = server.listen(ANYWHERE)
    await server.start()
    try:
        yield Door(server=server, address=str(address), observed=observed, why_not=why_not)
    finally:
        await server.stop(timedelta(0))


@contextmanager
def frozen(valkey: EmbeddedServer) -> Iterator[None]:
    """Redis takes connections and commands, and answers none."""
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


@pytest.fixture
async def redis_engine(valkey: EmbeddedServer) -> AsyncIterator[AsyncEngine]:
    """The server's own way to Redis, as impatient as in production."""
    engine = AsyncEngine(Store.parse(valkey.url), timeout=1.0)
    yield engine
    await engine.close()


@pytest.fixture
async def door(redis_engine: AsyncEngine) -> AsyncIterator[Door]:
    async with opened(redis_engine) as door:
        yield door


@pytest.fixture
async def channel(door: Door) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(door.address) as channel:
        yield channel


@pytest.fixture
def queues(channel: grpc.aio.Channel) -> QueueServiceAsyncStub:
    return QueueServiceStub(channel)


@pytest.fixture
def admin(channel: grpc.aio.Channel) -> AdminServiceAsyncStub:
    return AdminServiceStub(channel)


@pytest.fixture
def emails(channel: grpc.aio.Channel) -> EmailServiceAsyncStub:
    return EmailServiceStub(channel)


@pytest.fixture
def worker(valkey: EmbeddedServer) -> Iterator[Worker]:
    """Does by hand what a worker process does."""
    with Engine(Store.parse(valkey.url)) as engine:
        yield Worker(engine)


@pytest.fixture
def forget(valkey: EmbeddedServer) -> Callable[[], None]:
    """Removes every job that has ended, as maintenance does when its time is over."""
    at_once = Retention(age=timedelta(0), count=0)

    def prune_them() -> None:
        with Engine(Store.parse(valkey.url), clock=lambda: datetime.now(UTC) + timedelta(minutes=5)) as later:
            later.run(prune("email", Retentions(completed=at_once, failed=at_once, cancelled=at_once)))

    return prune_them


@pytest.fixture
def raw(valkey: EmbeddedServer) -> Iterator[redis.Redis]:
    with raw_client(valkey) as client:
        yield client
