"""The HTTP port in the loop of the test, on a real Valkey and asked over a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from server.admin import Admin
from server.catalog import Catalog
from server.dev.valkey import EmbeddedServer
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.engine import Engine
from server.engine.store import Store
from server.settings import Settings
from server.web.routes import application
from server.web.server import WebServer
from tests.engine.hands import Worker

QUEUES = "/api/admin/queues"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def reason(self) -> str:
        """Why it was refused, in the envelope that every refusal has."""
        assert self.body["success"] is False
        assert self.body["message"]
        return str(self.body["error"]["reason"])


@dataclass
class Site:
    """A running web server, and what its parts say."""

    admin: Admin
    host: str = ""
    unready: str | None = None

    async def why_not(self) -> str | None:
        return self.unready

    async def exposition(self) -> tuple[bytes, str]:
        return b"cabrank_redis_up 1\n", "text/plain; version=1.0.0"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """`body` is sent as JSON, bytes as they are; a header is given as `sec_fetch_site="none"`."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and "content-type" not in named:
            named |= JSON
        return await asyncio.to_thread(self._ask, method, path, sent, named)

    async def get(self, path: str) -> Reply:
        return await self.ask("GET", path)

    def _ask(self, method: str, path: str, body: str | bytes | None, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in response.getheaders()}
        is_json = told.get("content-type") == "application/json"
        return Reply(status=response.status, headers=told, body=json.loads(text) if is_json and text else text)


@asynccontextmanager
async def opened(engine: AsyncEngine) -> AsyncIterator[Site]:
    settings_of = Settings().queue
    site = Site(Admin(engine=engine, commits=Commits(engine), catalog=Catalog.load(), settings_of=settings_of))
    server = WebServer(application(admin=site.admin, unready=site.why_not, exposition=site.exposition))
    site.host = str(server.start(socket.create_server(("127.0.0.1", 0))))
    try:
        yield site
    finally:
        await server.stop()


@pytest.fixture
async def site(valkey: EmbeddedServer) -> AsyncIterator[Site]:
    """As impatient with Redis as in production."""
    engine = AsyncEngine(Store.parse(valkey.url), timeout=1.0)
    async with opened(engine) as site:
        yield site
    await engine.close()


@pytest.fixture
def worker(valkey: EmbeddedServer) -> Iterator[Worker]:
    """Does by hand what a worker process does."""
    with Engine(Store.parse(valkey.url)) as engine:
        yield Worker(engine)
