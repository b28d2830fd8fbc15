"""uvicorn inside the service's own loop, on a socket that was opened before."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from server.settings import Address

_GRACE_SECONDS = 5  # for answers that are on their way at a stop


class WebServer:
    """Serves one application until it is stopped."""

    def __init__(self, application: ASGIApp) -> None:
        config = uvicorn.Config(
            application,
            log_config=None,  # logs go where the service's logs go
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _WithoutSignals(config)
        self._serving: asyncio.Task[None] | None = None

    def start(self, door: socket.socket) -> Address:
        """Answers at an open socket from now on; its address."""
        # Connections have it from here. asyncio knows a socket for one of TCP only when it was made with the number of
        # that protocol; without it every answer on a connection that is kept waits 40 ms for an acknowledgement.
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._serving = asyncio.create_task(self._server.serve([door]))
        host, port, *_ = door.getsockname()
        return Address(host=host, port=port)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._serving:
            await self._serving


class _WithoutSignals(uvicorn.Server):
    """When to stop is decided by the service, for both of its ports."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
