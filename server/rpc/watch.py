"""Watching queues: what WatchJobs tells, from its first answer to its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from itertools import chain

from cabrank.v1.queue_pb2 import WatchJobsResponse

from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.events import changes, newest
from server.rpc.feed import Feed, Place
from server.rpc.wanted import Wanted

LONGEST_WATCH = 30 * 60.0  # s; then it ends, so that watchers spread over new replicas
_CURSOR_SECONDS = 5.0  # so long a cursor may stand still while changes pass that were not asked for
_LISTENERS = 32  # queues that are listened to at the same time: half of the connections stay free for calls


class Watches:
    """Tells of the changes in queues. A watcher is no more than a place in the stream: nothing is stored up for him, so
    who is slow costs nothing, and is told when what he has not read yet is gone.
    """

    def __init__(self, engine: AsyncEngine, commits: Commits) -> None:
        self._engine = engine
        self._commits = commits
        self._listening = asyncio.Semaphore(_LISTENERS)
        self._feeds: dict[str, Feed] = {}
        self._closed = False

    async def follow(
        self, queue: str, cursor: str, wanted: Wanted, *, seconds: float | None = None
    ) -> AsyncGenerator[WatchJobsResponse, None]:
        """First the cursor from which it begins, then what happens, until `seconds` or its time are over, or `close`.

        Raises EventsLost and BackendUnavailable, also later on; InvalidValue.
        """
        place = Place(cursor=await self._beginning(queue, cursor), wanted=wanted)
        told, told_at = place.cursor, time.monotonic()
        longest = LONGEST_WATCH * random.uniform(0.9, 1)  # not all of them at once
        ends = told_at + (longest if seconds is None else min(longest, seconds))
        yield WatchJobsResponse(cursor=told)
        with self._feed(queue).watched() as feed:
            while (now := time.monotonic()) < ends and not self._closed:
                events = await feed.after(place, seconds=min(ends - now, _CURSOR_SECONDS))
                news = [*chain.from_iterable(map(wanted.of, events))]
                overdue = place.cursor != told and time.monotonic() - told_at >= _CURSOR_SECONDS
                if news or overdue:
                    told, told_at = place.cursor, time.monotonic()
                    yield WatchJobsResponse(changes=news, cursor=told)

    def close(self) -> None:
        """Ends every watch, now and from now on."""
        self._closed = True
        for feed in self._feeds.values():
            feed.close()

    async def drain(self) -> None:
        """After `close`: returns when nobody reads any more."""
        for feed in self._feeds.values():
            await feed.drain()

    async def _beginning(self, queue: str, cursor: str) -> str:
        if not cursor:
            return await self._commits.run(newest(queue))
        await self._commits.run(changes(queue, cursor, limit=1))  # refused at once, and not after a first answer
        return cursor

    def _feed(self, queue: str) -> Feed:
        if queue not in self._feeds:
            self._feeds[queue] = Feed(self._engine, self._commits, queue, listening=self._listening)
        return self._feeds[queue]
