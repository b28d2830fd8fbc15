"""The headers of the Lua files, read independently of the loader that executes them."""

from __future__ import annotations

import re
from pathlib import Path

from server.engine import script

FOLDER = Path(script.__file__).parent / "lua"
_KEY = re.compile(r"^--(?: KEYS)? +([a-z_]+) +(HASH|ZSET|STREAM) +(\S.*)$")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text()


def header_of(name: str) -> list[str]:
    """The lines of comment at the top."""
    lines = text_of(name).splitlines()
    return lines[: next(n for n, line in enumerate(lines) if not line.startswith("--"))]


def declared_keys(name: str) -> dict[str, str]:
    """Key -> its type."""
    lines = header_of(name)
    first = next(n for n, line in enumerate(lines) if line.startswith("-- KEYS"))
    found: dict[str, str] = {}
    for line in lines[first:]:
        match = _KEY.match(line)
        if match is None:
            break
        found[match[1]] = match[2]
    return found


def code_of(name: str) -> str:
    """The script with what it includes, without comments."""
    text = text_of(name)
    included = [(FOLDER / "include" / f"{part}.lua").read_text() for part in includes_of(name)]
    return re.sub(r"--.*", "", "\n".join([*included, text]))


def includes_of(name: str) -> list[str]:
    return re.findall(r"^-- @include ([a-z_]+)$", text_of(name), re.MULTILINE)
