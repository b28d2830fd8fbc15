"""Drives transitions in an event loop, as `engine` does it for threads; and what only the server needs.

taken = await engine.run(complete("email", done))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from server.engine.call import Call, keys_of
from server.engine.driver import FAULTS, Clock, Command, Driver, refuse
from server.engine.memory import Memory
from server.engine.store import Kind, Store

T = TypeVar("T")
_MEMORY: Command = ("INFO", "memory")


class AsyncEngine(Driver):
    """For one event loop."""

    def __init__(self, store: Store, *, timeout: float = 5.0, clock: Clock | None = None) -> None:
        super().__init__(timeout, clock)
        self._clustered = store.kind is Kind.CLUSTER
        self._client = store.connect_async(timeout=timeout)

    async def run(self, call: Call[T]) -> T:
        """Raises what the transition refuses, BackendUnavailable or BackendFull."""
        return call.read(await self._guarded(lambda: self._send(call)))

    async def run_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """The same for several calls in one round trip, in no order; the first that raises speaks for all."""
        replies = await self._guarded(lambda: self._send_all(calls))
        return _values(calls, replies)

    async def survey(self, calls: Sequence[Call[Any]]) -> tuple[list[Any], Memory | None]:
        """`run_all`, and in the same round trip how full Redis is: None where we are not allowed to ask for that."""
        replies, memory = await self._guarded(lambda: self._send_survey(calls))
        return _values(calls, replies), memory

    async def wait_for_news(self, queue: str, cursor: str) -> None:
        """Returns when something happened in the queue after the cursor (`changes` tells what), at the latest after
        half of the timeout. Has a connection to itself meanwhile. Raises as `run`.
        """
        (events,) = keys_of(queue, ["events"])
        wait = ("XREAD", "COUNT", 1, "BLOCK", round(self._timeout * 500), "STREAMS", events, cursor)
        await self._guarded(lambda: self._client.execute_command(*wait))

    async def probe(self) -> None:
        """A small write: a ping would also answer where nothing can be written. Raises as `run`."""
        try:
            await self._client.set("cabrank:probe", "1", ex=60)
        except FAULTS as error:
            refuse(error)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, call: Call[Any]) -> Any:
        try:
            return await self._client.execute_command(*self._by_name(call))
        except NoScriptError:
            pass
        try:
            return await self._client.execute_command(*self._by_text(call))
        except ResponseError as error:
            if not self._unflagged(error):
                raise
        return await self._client.execute_command(*self._by_text(call))

    async def _send_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        return await self._replies(calls, await self._send_at_once([*map(self._by_name, calls)]))

    async def _send_survey(self, calls: Sequence[Call[Any]]) -> tuple[list[Any], Memory | None]:
        *replies, info = await self._send_at_once([*map(self._by_name, calls), _MEMORY])
        memory = None if isinstance(info, NoPermissionError) else Memory.read(_good(info))
        return await self._replies(calls, replies), memory

    async def _replies(self, calls: Sequence[Call[Any]], answers: Sequence[Any]) -> list[Any]:
        """The answers, or raises an error among them; a script that the server does not know is brought along."""
        return [
            await self._send(call) if isinstance(answer, NoScriptError) else _good(answer)
            for call, answer in zip(calls, answers, strict=True)
        ]

    async def _send_at_once(self, commands: Sequence[Command]) -> list[Any]:
        """One round trip. An error stands in the place of its reply."""
        if self._clustered:
            # Each by itself: a pipeline of redis-py's cluster does not look for the new primary when one is gone.
            return await asyncio.gather(*map(self._send_to_cluster, commands), return_exceptions=True)
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def _send_to_cluster(self, command: Command) -> Any:
        nodes = {"target_nodes": RedisCluster.PRIMARIES} if command is _MEMORY else {}
        return await self._client.execute_command(*command, **nodes)

    async def _guarded(self, send: Callable[[], Awaitable[T]]) -> T:
        began = time.monotonic()
        try:
            try:
                return await send()
            except redis.ConnectionError:
                if self._waited_long(began):
                    raise
                return await send()
        except FAULTS as error:
            refuse(error)


def _good(answer: Any) -> Any:
    """The reply, or raises the error that stands in its place."""
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _values(calls: Sequence[Call[Any]], replies: Sequence[Any]) -> list[Any]:
    return [call.read(reply) for call, reply in zip(calls, replies, strict=True)]
