"""uvicorn as it is set up here."""

from __future__ import annotations

import socket

from server.web.routes import application
from server.web.server import WebServer
from tests.web.conftest import Site


async def test_answers_are_not_held_back(site: Site) -> None:
    """Else each on a connection that is kept comes 40 ms late, for it is sent in two parts."""
    door = socket.socket(socket.AF_INET)
    door.bind(("127.0.0.1", 0))
    door.listen()
    server = WebServer(application(admin=site.admin, unready=site.why_not, exposition=site.exposition))

    server.start(door)
    with socket.create_connection(door.getsockname()):
        assert door.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await server.stop()
