"""One reader for all who watch the same queue, and none while nobody does."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.errors import BackendUnavailable
from server.engine.events import Event, changes
from server.rpc.wanted import Wanted

_PAGE = 100  # events a read and an answer: with the longest names still below the 4 MiB that clients take
_KEPT = 500  # events that a reader keeps for those who are a little behind
_PAUSE = 0.02  # s between two reads of a busy queue
_SHARE = 4  # reading takes at most one part in five of the time, however many watch


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """How far one watcher has come."""

    cursor: str
    wanted: Wanted


class Feed:
    """Those who watch one queue, and the task that reads for them.

    It wakes whom a change concerns and passes the others on; whoever is woken takes what is kept here after his cursor.
    Whose cursor is not here any more reads for himself. So no change is told twice, and none is left out.
    """

    def __init__(self, engine: AsyncEngine, commits: Commits, queue: str, *, listening: asyncio.Semaphore) -> None:
        self._engine = engine
        self._commits = commits
        self._queue = queue
        self._listening = listening
        self._at = ""  # where the reader stands; empty while there is none
        self._kept: deque[tuple[str, Event]] = deque(maxlen=_KEPT)  # each with the cursor before it; the last is `_at`
        self._asleep: dict[Place, asyncio.Future[None]] = {}
        self._watchers = 0
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    @contextmanager
    def watched(self) -> Iterator[Self]:
        """Inside, the reader stays at work."""
        self._watchers += 1
        try:
            yield self
        finally:
            self._watchers -= 1

    async def after(self, place: Place, *, seconds: float) -> Sequence[Event]:
        """What comes after the place, which is moved on. Waits when there is nothing, and then returns without."""
        events = self._after(place.cursor)
        if events is None:
            # Not by the engine itself: on Python 3.11 redis-py may lose the cancellation of who left meanwhile.
            events = await self._commits.run(changes(self._queue, place.cursor, limit=_PAGE))
        if events:
            place.cursor = events[-1].cursor
        elif not self._after(place.cursor):  # the reader may have passed him while he read
            await self._news(place, seconds)
        return events

    def close(self) -> None:
        self._closed = True
        if self._reader:
            self._reader.cancel()
        self._wake([*self._asleep])

    async def drain(self) -> None:
        """Returns when the reader has gone."""
        if self._reader:
            await asyncio.wait([self._reader])

    def _after(self, cursor: str) -> list[Event] | None:
        """What is kept after the cursor, one page; None where it is not known here."""
        if cursor == self._at:
            return []
        found = []
        for before, event in reversed(self._kept):
            found.append(event)
            if before == cursor:
                return found[::-1][:_PAGE]
        return None

    async def _news(self, place: Place, seconds: float) -> None:
        """Returns when there may be something after the place. Raises what the reader met."""
        if self._closed:
            return
        if self._reader is None:
            self._at = place.cursor
            self._reader = asyncio.create_task(self._read())
        news = asyncio.get_running_loop().create_future()
        self._asleep[place] = news
        try:
            await asyncio.wait([news], timeout=seconds)
        finally:
            self._asleep.pop(place, None)
        if news.done():
            news.result()

    async def _read(self) -> None:
        try:
            while self._watchers and not self._closed:
                await self._read_patiently()
        except Exception as fault:  # whatever it is, each of them tells it to his caller
            self._wake([*self._asleep], fault)
        finally:
            self._at, self._reader = "", None
            self._kept.clear()

    async def _read_patiently(self) -> None:
        """Telling a thousand watchers keeps the loop so busy that Redis may seem late: one failure is none yet."""
        try:
            await self._read_once()
        except BackendUnavailable:
            await self._read_once()

    async def _read_once(self) -> None:
        began = time.monotonic()
        # Not what listening brings: only this tells when something is missing, also in a Redis that was emptied.
        events = await self._engine.run(changes(self._queue, self._at, limit=_PAGE))
        if not events:
            async with self._listening:
                await self._engine.wait_for_news(self._queue, self._at)
            return
        self._pass_on(events)
        if len(events) < _PAGE:
            await asyncio.sleep(max(_PAUSE, _SHARE * (time.monotonic() - began)))

    def _pass_on(self, events: Sequence[Event]) -> None:
        before = self._at
        for event in events:
            self._kept.append((self._at, event))
            self._at = event.cursor
        concerned = []
        for place in self._asleep:
            if place.cursor == before and not place.wanted.any_in(events):
                place.cursor = self._at
            else:
                concerned.append(place)
        self._wake(concerned)

    def _wake(self, places: Sequence[Place], fault: Exception | None = None) -> None:
        for place in places:
            news = self._asleep.pop(place)
            if fault is None:
                news.set_result(None)
            else:
                news.set_exception(fault)
                news.exception()  # looked at: a watcher who leaves in this moment does not
