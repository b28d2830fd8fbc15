"""What happened in a queue, for those who watch: changes in their order, and cursors to go on from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.engine.call import Call, call
from server.engine.errors import EventsLost, InvalidValue
from server.engine.job import JobState
from server.engine.moments import moment

_CURSOR = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")  # either part fits into the 64 bits that Redis has for it
_GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Some jobs of one task entered a state, or are gone."""

    state: JobState | None  # None: gone
    task: str  # empty: gone
    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What one call changed."""

    cursor: str
    at: datetime
    changes: tuple[Change, ...]


def newest(queue: str) -> Call[str]:
    """The cursor of now: what happens from here on comes after it."""
    return call("newest", queue, [], lambda reply: str(reply.decode()))


def changes(queue: str, cursor: str, *, limit: int = 100) -> Call[list[Event]]:
    """The first events after the cursor. Raises EventsLost when some are not kept any more, InvalidValue."""
    if not _CURSOR.fullmatch(cursor):
        raise InvalidValue("cursor", "must be one that an answer of this rpc held")

    def read(reply: list[Any]) -> list[Event]:
        if reply == [b"LOST"]:
            raise EventsLost(queue)
        return [_event(entry) for entry in reply]

    return call("changes", queue, [cursor, limit], read)


def _event(entry: Sequence[Any]) -> Event:
    cursor, fields = entry[0].decode(), [each.decode() for each in entry[1]]
    found = [_change(name, ids) for name, ids in zip(fields[::2], fields[1::2], strict=True) if ids]
    return Event(cursor=cursor, at=moment(int(cursor.partition("-")[0])), changes=tuple(found))


def _change(name: str, ids: str) -> Change:
    word, _, task = name.partition(" ")
    return Change(state=None if word == _GONE else JobState(word), task=task, job_ids=tuple(ids.split(" ")))
