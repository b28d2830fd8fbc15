"""The Lua files as scripts: what they include, which keys they declare, how they are told about full memory.

A script's header is its contract and is taken at its word: the KEYS lines become the table `key` that the code below
them uses, so no key can be touched that is not declared, and no index can slip.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"
_KEY_LINE = re.compile(r"^--(?: KEYS)? +([a-z_]+) +(?:HASH|ZSET|STREAM)\b")
_MEMORY_LINE = re.compile(r"^-- Memory   (.+)$", re.MULTILINE)
# Is never refused and changes nothing, for no key has an expiry; after it, no write of the script is refused either.
_HARMLESS_WRITE = "redis.call('PERSIST', KEYS[1])\n"
# What the line says -> what the flagged text begins with, and the plain one.
_MEMORY = {
    "refused when it is full": ("#!lua", ""),
    "allowed when it is full": ("#!lua flags=allow-oom", _HARMLESS_WRITE),
    # Also answered while Redis takes no writes at all: its disk is full, or its replicas are away.
    "not needed: it only looks": ("#!lua flags=no-writes", ""),
}
_INCLUDE_LINE = re.compile(r"^-- @include ([a-z_]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One text of a script, by the name Redis gives it."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Source:
        return cls(text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A transition as Redis runs it."""

    name: str
    keys: tuple[str, ...]  # short names, in the order of KEYS
    flagged: Source  # with a `#!lua` line: Redis >= 7 and Valkey judge by it, before the first effect
    plain: Source  # for Redis 6.2, which does not know that line and refuses by the first write


@cache
def load(name: str) -> Script:
    """The script of `lua/<name>.lua`. Raises ValueError where its header breaks the form."""
    text = (_FOLDER / f"{name}.lua").read_text()
    keys = _declared_keys(text)
    memory = _MEMORY_LINE.search(text)
    if not keys or memory is None or memory[1] not in _MEMORY:
        raise ValueError(f"{name}.lua: the header must declare KEYS and Memory")
    table = ", ".join(f"{key} = KEYS[{n}]" for n, key in enumerate(keys, start=1))
    body = f"local key = {{ {table} }}\n{_included(text)}{text}"
    flags, first = _MEMORY[memory[1]]
    return Script(name=name, keys=keys, flagged=Source.of(f"{flags}\n{body}"), plain=Source.of(first + body))


def names() -> list[str]:
    """Every transition there is."""
    return sorted(path.stem for path in _FOLDER.glob("*.lua"))


def _declared_keys(text: str) -> tuple[str, ...]:
    header = text.split("-- ARGV", maxsplit=1)[0].splitlines()
    return tuple(match[1] for line in header if (match := _KEY_LINE.match(line)))


def _included(text: str) -> str:
    return "".join((_FOLDER / "include" / f"{name}.lua").read_text() for name in _INCLUDE_LINE.findall(text))
