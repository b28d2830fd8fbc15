"""Drives transitions on a Redis: `Engine` blocks, `AsyncEngine` awaits. Neither knows what a transition does.

    job = engine.run(get("email", job_id))
    taken = await async_engine.run(complete("email", done))

Every transition may run twice with the same arguments, so a call whose connection broke is sent once more; a call that
timed out is not, for its caller has waited long enough.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn, Self, TypeVar

import redis
from redis.asyncio import RedisCluster
from redis.exceptions import (
    ClusterError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from server.engine import record
from server.engine.call import Call, keys_of
from server.engine.errors import BackendFault, BackendFull, BackendUnavailable
from server.engine.memory import Memory
from server.engine.script import Source
from server.engine.store import Client, Kind, Store

T = TypeVar("T")
Clock = Callable[[], datetime]
Command = tuple[Any, ...]
_MEMORY: Command = ("INFO", "memory")
_FAULTS = (RedisError, RedisClusterException, OSError)
_OUTAGES = (
    redis.ConnectionError,
    redis.TimeoutError,
    OSError,
    ReadOnlyError,
    TryAgainError,
    ClusterError,
    RedisClusterException,
)
# What redis-py has no class for, and what Redis 6.2 wraps when it happens within a script.
_CODE = re.compile(r"(?:^|: -)([A-Z]+) ")
_PASSING = ("BUSY", "MISCONF", "NOREPLICAS", "READONLY", "UNKILLABLE")


class _Driver:
    """What both flavours share: which text of a script to send, and what an error means."""

    def __init__(self, timeout: float, clock: Clock | None) -> None:
        self._timeout = timeout
        self._clock = clock
        self._flagged = True  # until a server says that it does not know `#!lua`

    def _source(self, call: Call[Any]) -> Source:
        return call.script.flagged if self._flagged else call.script.plain

    def _by_name(self, call: Call[Any]) -> Command:
        return ("EVALSHA", self._source(call).sha, *self._rest(call))

    def _by_text(self, call: Call[Any]) -> Command:
        return ("EVAL", self._source(call).text, *self._rest(call))

    def _rest(self, call: Call[Any]) -> Command:
        now = "" if self._clock is None else record.epoch_ms(self._clock())
        return (len(call.keys), *call.keys, now, *call.arguments)

    def _unflagged(self, error: ResponseError) -> bool:
        """Whether the server is too old for the flagged text; from then on the plain one is used."""
        if "near '#'" not in str(error):
            return False
        self._flagged = False
        return True

    def _waited_long(self, began: float) -> bool:
        """As for a reply that did not come, so for a connection that was not to be had."""
        return time.monotonic() - began > self._timeout / 2


class Engine(_Driver):
    """For threads: safe to share between them, but not across a fork."""

    def __init__(
        self, store: Store, *, timeout: float = 5.0, connections: int = 32, clock: Clock | None = None
    ) -> None:
        """`connections`: as many as threads that call at once; `wait_for_work` has one while it blocks."""
        super().__init__(timeout, clock)
        self._store = store
        self._connections = connections

    @cached_property
    def _client(self) -> Client:
        # Not made before it is needed: that of a cluster connects at once, and Redis may still be away.
        return self._store.connect(timeout=self._timeout, connections=self._connections)

    def run(self, call: Call[T]) -> T:
        """Raises what the transition refuses, BackendUnavailable or BackendFull."""
        return call.read(self._guarded(lambda: self._send(call)))

    def wait_for_work(self, queue: str, *, seconds: float) -> bool:
        """Blocks until somebody pokes the queue. False when nobody did. `seconds` must stay below the timeout."""
        (wake,) = keys_of(queue, ["wake"])
        return bool(self._guarded(lambda: self._client.bzpopmin([wake], seconds)))

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call[Any]) -> Any:
        try:
            return self._client.execute_command(*self._by_name(call))
        except NoScriptError:
            pass
        try:
            return self._client.execute_command(*self._by_text(call))
        except ResponseError as error:
            if not self._unflagged(error):
                raise
        return self._client.execute_command(*self._by_text(call))

    def _guarded(self, send: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            try:
                return send()
            except redis.ConnectionError:
                if self._waited_long(began):
                    raise
                return send()
        except _FAULTS as error:
            _refuse(error)


class AsyncEngine(_Driver):
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
        except _FAULTS as error:
            _refuse(error)

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
        except _FAULTS as error:
            _refuse(error)


def _good(answer: Any) -> Any:
    """The reply, or raises the error that stands in its place."""
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _values(calls: Sequence[Call[Any]], replies: Sequence[Any]) -> list[Any]:
    return [call.read(reply) for call, reply in zip(calls, replies, strict=True)]


def _refuse(error: Exception) -> NoReturn:
    """Raises what an error of Redis means to the floors above; one that means nothing to them is a bug: it stays."""
    found = _CODE.search(str(error))
    code = found[1] if found else ""
    if isinstance(error, OutOfMemoryError) or code == "OOM":
        raise BackendFull from error
    if isinstance(error, _OUTAGES) or code in _PASSING:
        raise BackendUnavailable from error
    raise error


__all__ = ["AsyncEngine", "BackendFault", "Clock", "Engine"]
