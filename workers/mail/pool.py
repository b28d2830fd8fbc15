"""Connections to the SMTP server: opened when needed, used again, never more than agreed."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from datetime import timedelta

from workers.mail.connection import Connection, SmtpServer
from workers.mail.errors import Phase, Unreachable
from workers.mail.message import Message
from workers.mail.reply import Reply


class Pool:
    """Up to `size` connections, each used by one delivery at a time. Lives on one event loop.

    What lies idle for `max_idle` is closed, well before servers and firewalls drop it; after `max_mails` a
    connection makes way for a new one, as some servers ask.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        size: int,
        max_idle: timedelta = timedelta(seconds=30),
        max_mails: int = 100,
    ) -> None:
        """Reads the certificates of those to trust. Raises OSError when `ca_file` cannot be read."""
        self._server = server
        self._trust = ssl.create_default_context(cafile=server.ca_file)
        self._max_idle = max_idle
        self._max_mails = max_mails
        # Holds: every open connection either lies idle or belongs to the holder of a slot, and a slot's
        # holder opens one only when none lies idle. So there are never more than slots.
        self._slots = asyncio.Semaphore(size)
        self._slot_count = size
        # Since when each lies idle (loop time), the longest first. Taken from the end: the surplus grows old.
        self._idle: dict[Connection, float] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def deliver(self, message: Message) -> Reply:
        """Hands one mail over; waits while all connections are busy. Raises DeliveryError."""
        async with self._slots:
            used = await self._take()
            if used is not None:
                try:
                    return await self._deliver(message, used)
                except Unreachable as gone:
                    # Dropped while it lay idle, most likely: nothing of this mail was sent yet.
                    if gone.phase is not Phase.SENDER:
                        raise
            return await self._deliver(message, await Connection.open(self._server, trust=self._trust))

    async def close(self) -> None:
        """Waits for the deliveries under way, then takes leave of the server."""
        async with AsyncExitStack() as every_slot:
            for _ in range(self._slot_count):
                await every_slot.enter_async_context(self._slots)
            if self._sweeper is not None:
                self._sweeper.cancel()
                await asyncio.wait([self._sweeper])
            connections = list(self._idle)
            self._idle.clear()
            await asyncio.gather(*(connection.quit() for connection in connections))

    async def _take(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.ready and connection.delivered < self._max_mails:
                return connection
            await connection.quit()
        return None

    async def _deliver(self, message: Message, connection: Connection) -> Reply:
        try:
            return await connection.deliver(message)
        finally:
            self._put_back(connection)

    def _put_back(self, connection: Connection) -> None:
        if not connection.ready:
            connection.abort()
            return
        self._idle[connection] = asyncio.get_running_loop().time()
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        """Closes what lies idle too long, until nothing lies idle. Holds a slot while it does."""
        while self._idle:
            await asyncio.sleep(self._until_overdue())
            async with self._slots:
                while self._idle and self._until_overdue() <= 0:
                    connection = next(iter(self._idle))
                    del self._idle[connection]
                    await connection.quit()

    def _until_overdue(self) -> float:
        """Seconds until the longest idle connection has been so for too long."""
        since = next(iter(self._idle.values()))
        return since + self._max_idle.total_seconds() - asyncio.get_running_loop().time()
