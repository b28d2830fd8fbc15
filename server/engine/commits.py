"""Writes that go on to their end, even when the caller who asked for them has left."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from server.engine.async_engine import AsyncEngine
from server.engine.call import Call

T = TypeVar("T")


class Commits:
    """A caller's cancellation or deadline ends its rpc, never a command that is on its way to Redis.

    What was cut off there may or may not have been done; what went on was, and repeating the request tells.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._running: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks only weakly

    async def run(self, call: Call[T]) -> T:
        """Raises as the engine's `run`."""
        commit = asyncio.ensure_future(self._engine.run(call))
        self._running.add(commit)
        commit.add_done_callback(self._ended)
        await asyncio.wait([commit])  # whoever is cancelled here leaves it alone
        return commit.result()

    def _ended(self, commit: asyncio.Task[Any]) -> None:
        self._running.discard(commit)
        if not commit.cancelled():
            commit.exception()  # looked at: when the caller has left, nobody else does

    async def drain(self) -> None:
        """Returns when nothing is on its way any more: the engine bounds how long a command may take."""
        while self._running:
            await asyncio.wait(self._running)
