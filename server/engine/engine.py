"""Drives transitions for threads.

    job = engine.run(get("email", job_id))

Every transition may run twice with the same arguments, so a call whose connection broke is sent once more; a call that
timed out is not, for its caller has waited long enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self, TypeVar

import redis
from redis.exceptions import NoScriptError, ResponseError

from server.engine.call import Call, keys_of
from server.engine.driver import FAULTS, Clock, Driver, refuse
from server.engine.store import Client, Store

T = TypeVar("T")


class Engine(Driver):
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
        except FAULTS as error:
            refuse(error)
