"""What the two drivers share: which text of a script to send, when to send it again, and what an error means."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import redis
from redis.exceptions import (
    ClusterError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from server.engine.call import Call
from server.engine.errors import BackendFull, BackendUnavailable
from server.engine.moments import epoch_ms
from server.engine.script import Source

Clock = Callable[[], datetime]
Command = tuple[Any, ...]
FAULTS = (RedisError, RedisClusterException, OSError)
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
_PASSING = ("BUSY", "MISCONF", "NOREPLICAS", "READONLY", "UNBLOCKED", "UNKILLABLE")


class Driver:
    """For both flavours. Neither knows what a transition does."""

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
        now = "" if self._clock is None else epoch_ms(self._clock())
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


def refuse(error: Exception) -> NoReturn:
    """Raises what an error of Redis means to the floors above; one that means nothing to them is a bug: it stays."""
    found = _CODE.search(str(error))
    code = found[1] if found else ""
    if isinstance(error, OutOfMemoryError) or code == "OOM":
        raise BackendFull from error
    if isinstance(error, _OUTAGES) or code in _PASSING:
        raise BackendUnavailable from error
    raise error
