"""The admin room on a real Valkey, and on a clock that only the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from server.admin import Admin
from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.engine.store import Store
from tests.admin.hands import opened
from tests.conftest import Clock
from tests.engine.hands import Worker


@pytest.fixture
def engine(valkey: EmbeddedServer, clock: Clock) -> Iterator[Engine]:
    with Engine(Store.parse(valkey.url), clock=clock) as engine:
        yield engine


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine)


@pytest.fixture
async def admin(valkey: EmbeddedServer, clock: Clock) -> AsyncIterator[Admin]:
    async with opened(valkey, clock) as admin:
        yield admin
