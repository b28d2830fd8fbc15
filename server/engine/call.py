"""One transition, ready to run: free of I/O, so that a blocking and an asyncio driver share every line of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from server.engine import script
from server.engine.names import checked_queue
from server.engine.script import Script

T = TypeVar("T")
Argument = str | bytes | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A script with its keys and arguments, and how its reply becomes a value or a refusal."""

    script: Script
    keys: tuple[str, ...]
    arguments: Sequence[Argument]  # without the time, which the driver puts in front
    read: Callable[[Any], T]


def call(name: str, queue: str, arguments: Sequence[Argument], read: Callable[[Any], T]) -> Call[T]:
    """The transition `name` on one queue."""
    transition = script.load(name)
    return Call(script=transition, keys=keys_of(queue, transition.keys), arguments=arguments, read=read)


def keys_of(queue: str, names: Sequence[str]) -> tuple[str, ...]:
    """Full key names. The braces keep all keys of a queue in one slot of a cluster."""
    prefix = f"cabrank:{{{checked_queue(queue)}}}:"
    return tuple(prefix + name for name in names)
