"""What the HTTP port answers."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from server.settings import Address
from server.web.routes import application
from server.web.server import WebServer


@dataclass
class Port:
    """A running web server, and what its parts say."""

    address: Address | None = None
    why_not: list[str] = field(default_factory=list)  # anything in here: the service is not ready

    async def unready(self) -> str | None:
        return self.why_not[0] if self.why_not else None

    async def exposition(self) -> tuple[bytes, str]:
        return b"cabrank_redis_up 1\n", "text/plain; version=1.0.0"

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, media type and body, over a real connection."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, str, str]:
        assert self.address
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.getheader("content-type", ""), response.read().decode()
        finally:
            connection.close()


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port = Port()
    server = WebServer(application(unready=port.unready, exposition=port.exposition))
    port.address = server.start(socket.create_server(("127.0.0.1", 0)))
    yield port
    await server.stop()


async def test_healthz_answers_whatever_redis_does(port: Port) -> None:
    """Nothing outside this process may lead to its restart."""
    port.why_not.append("the queue's storage cannot be reached")

    assert (await port.get("/healthz"))[0] == 200


async def test_readyz_says_why_not(port: Port) -> None:
    assert (await port.get("/readyz"))[0] == 200

    port.why_not.append("the queue's storage cannot be reached")
    status, _, body = await port.get("/readyz")

    assert (status, body.strip()) == (503, "the queue's storage cannot be reached")


async def test_metrics_come_as_what_they_are(port: Port) -> None:
    status, media_type, body = await port.get("/metrics")

    assert (status, body) == (200, "cabrank_redis_up 1\n")
    assert media_type.startswith("text/plain; version=1.0.0")


async def test_other_paths_are_not_found(port: Port) -> None:
    assert (await port.get("/metricz"))[0] == 404


async def test_a_stop_does_not_wait_for_idle_connections() -> None:
    port = Port()
    server = WebServer(application(unready=port.unready, exposition=port.exposition))
    port.address = server.start(socket.create_server(("127.0.0.1", 0)))
    reader, writer = await asyncio.open_connection(port.address.host, port.address.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"ok\n")

    await asyncio.wait_for(server.stop(), 4)

    assert await reader.read() == b""
    writer.close()
