"""Names that stand twice in one JSON object: parsers differ in which one they believe, so neither counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


class TwinNames(ValueError):
    """Some object in a JSON text holds a name more than once."""


def refuse_twins(text: bytes) -> None:
    """Raises TwinNames if any object in the JSON text, however deep, holds a name twice."""
    _thorough.decode(text.decode())


def twins_of(text: bytes) -> list[str]:
    """The names that the outermost object of the JSON text holds twice."""
    return [name for name, count in Counter(name for name, _ in _shallow.decode(text.decode())).items() if count > 1]


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) < len(members):
        raise TwinNames("holds an object with the same name twice")
    return unique


# Numbers stay text: their values do not matter here, and int() refuses the longest.
_thorough = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str)
_shallow = json.JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str)
