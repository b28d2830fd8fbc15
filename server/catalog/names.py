"""Which names a queue and a task may have, and which one was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_MOST_TASK_NAME = 100

_QUEUE = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TASK = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


def is_queue_name(text: str) -> bool:
    """Lower-case letters, digits, `_` and `-`; a letter first; at most 63 characters."""
    return _QUEUE.fullmatch(text) is not None


def is_task_name(text: str) -> bool:
    """Words of lower-case letters, digits and `_`, joined by dots; a letter first; at most 100 characters."""
    return len(text) <= _MOST_TASK_NAME and _TASK.fullmatch(text) is not None


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Those of the names that may have been meant by `name`, nearest first, at most three."""
    if len(name) > _MOST_TASK_NAME:
        return []  # difflib looks at every character, and how many there are is the caller's choice
    return difflib.get_close_matches(name, sorted(names), n=3)
