"""What the HTTP port answers."""

from __future__ import annotations

import asyncio
import socket

from server.web.routes import application
from server.web.server import WebServer
from tests.web.conftest import Site


async def test_healthz_answers_whatever_redis_does(site: Site) -> None:
    """Nothing outside this process may lead to its restart."""
    site.unready = "the queue's storage cannot be reached"

    assert (await site.get("/healthz")).status == 200


async def test_readyz_says_why_not(site: Site) -> None:
    assert (await site.get("/readyz")).status == 200

    site.unready = "the queue's storage cannot be reached"
    reply = await site.get("/readyz")

    assert (reply.status, reply.body.strip()) == (503, "the queue's storage cannot be reached")


async def test_metrics_come_as_what_they_are(site: Site) -> None:
    reply = await site.get("/metrics")

    assert (reply.status, reply.body) == (200, "cabrank_redis_up 1\n")
    assert reply.headers["content-type"].startswith("text/plain; version=1.0.0")


async def test_other_paths_are_not_found(site: Site) -> None:
    reply = await site.get("/metricz")

    assert (reply.status, reply.body) == (404, "Not Found\n")


async def test_a_stop_does_not_wait_for_idle_connections(site: Site) -> None:
    server = WebServer(application(admin=site.admin, unready=site.why_not, exposition=site.exposition))
    address = server.start(socket.create_server(("127.0.0.1", 0)))
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"ok\n")

    await asyncio.wait_for(server.stop(), 4)

    assert await reader.read() == b""
    writer.close()
