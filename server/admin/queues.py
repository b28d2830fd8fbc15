"""All queues and one: how they are doing; pause, resume, update."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server import logs
from server.admin.health import Health, Overview
from server.admin.rules import Rules
from server.catalog import Catalog
from server.engine import steer
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.errors import InvalidValue
from server.engine.look import Stats, stats
from server.engine.overrides import Overrides
from server.settings import QueueSettings

_PAUSE = 0.02  # s between two looks at what workers hold
_SHARE = 4  # looking takes at most one part in five of the time, however much they hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A queue that hands out nothing any more."""

    queue: Overview
    unconfirmed: int  # jobs of which a worker has not said yet whether it started them


class Queues:
    def __init__(
        self, *, engine: AsyncEngine, commits: Commits, catalog: Catalog, settings_of: Callable[[str], QueueSettings]
    ) -> None:
        self._engine = engine
        self._commits = commits
        self._catalog = catalog
        self._settings_of = settings_of
        self._log = logs.get_logger(__name__)
        self._with_tasks = {task.queue for task in catalog.tasks.values()}

    async def one(self, queue: str) -> Overview:
        return self._overview(queue, await self._engine.run(stats(self._catalog.queue(queue))))

    async def all(self) -> list[Overview]:
        """In the order of the catalog."""
        names = self._catalog.queues
        found = await self._engine.run_all([stats(name) for name in names])
        return [self._overview(name, each) for name, each in zip(names, found, strict=True)]

    async def health(self) -> Health:
        return Health.of(await self.all())

    async def pause(self, queue: str, reason: str, *, until: datetime | None, seconds: float) -> Paused:
        """Returns when nothing can start any more, at the latest after `seconds`. Raises InvalidValue."""
        if until is not None:
            # By the clock of Redis, which will end the pause.
            lasts = until - (await self.one(queue)).stats.at
            if lasts <= timedelta(0):
                raise InvalidValue("resume_time", "must lie in the future")
            seconds = min(seconds, lasts.total_seconds())
        await self._commits.run(steer.pause(self._catalog.queue(queue), reason, until=until))
        self._log.info("queue paused", queue=queue, reason=reason, until=until and until.isoformat())
        unconfirmed = await self._all_started(queue, seconds)
        return Paused(queue=await self.one(queue), unconfirmed=unconfirmed)

    async def resume(self, queue: str) -> Overview:
        await self._commits.run(steer.resume(self._catalog.queue(queue)))
        self._log.info("queue resumed", queue=queue)
        return await self.one(queue)

    async def update(self, queue: str, overrides: Overrides, *, reset: Sequence[str]) -> Overview:
        """Raises InvalidValue."""
        await self._commits.run(steer.update(self._catalog.queue(queue), overrides, reset=reset))
        self._log.info("queue updated", queue=queue, changes=overrides.fields(), reset=list(reset))
        return await self.one(queue)

    async def _all_started(self, queue: str, seconds: float) -> int:
        """Waits until every job that a worker holds is known to have started. How many are not."""
        ends = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            unstarted = await self._engine.run(steer.unstarted(queue))
            if not unstarted or time.monotonic() >= ends:
                return unstarted
            pause = max(_PAUSE, _SHARE * (time.monotonic() - began))
            await asyncio.sleep(min(pause, ends - time.monotonic()))

    def _overview(self, queue: str, found: Stats) -> Overview:
        return Overview(
            name=queue,
            stats=found,
            rules=Rules.of(self._settings_of(queue), found.overrides),
            has_tasks=queue in self._with_tasks,
        )
