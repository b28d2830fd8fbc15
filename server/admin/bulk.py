"""What is done to many jobs: in steps so short that nobody waits for them, until all is done or the time is up."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from server import logs
from server.admin.tasks import check_task
from server.catalog import Catalog
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.errors import InvalidValue, SecretsErased, UniqueConflict
from server.engine.job import Job, JobState
from server.engine.look import Place, brief, page, stats
from server.engine.mend import remove, revive
from server.engine.moments import EPOCH

_STEP = 25  # jobs: Redis is busy with them for about half a millisecond
_LEAST_PAUSE = 0.001  # s between two steps; else as long as the step took
_COUNTING_SECONDS = 1.0  # for looking how many others match, when the limit is reached
# In this order: what becomes due meanwhile is found in the second.
NOT_STARTED = (JobState.DELAYED, JobState.WAITING)

# Job ids -> how many of them were done, and how many skipped.
Act = Callable[[list[str]], Awaitable[tuple[int, int]]]
Shows = Callable[[Job], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs, and what may be done to them. `limit` 0: all. `dry_run`: only count."""

    older_than: timedelta = timedelta(0)
    limit: int = 0
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise InvalidValue("limit", "must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the jobs that matched at the beginning: as far as nobody else took them away, all are told."""

    done: int
    skipped: int
    remaining: int  # where only the jobs of a task match, at most so many, if there was no time to look at all


class Bulk:
    """Every method ends after `seconds` at the latest. Called again, it goes on with what remains."""

    def __init__(self, *, engine: AsyncEngine, commits: Commits, catalog: Catalog) -> None:
        self._engine = engine
        self._commits = commits
        self._catalog = catalog
        self._log = logs.get_logger(__name__)

    async def retry_failed(self, queue: str, which: Selection, *, task: str = "", seconds: float) -> Outcome:
        """failed -> waiting, the oldest first. Skips those that cannot be retried. `task`: only its jobs.

        Raises TaskNotFound for a task that the queue never had.
        """
        await check_task(self._engine, self._catalog, self._catalog.queue(queue), task)

        async def act(job_ids: list[str]) -> tuple[int, int]:
            answers = await self._commits.run(revive(queue, job_ids, dry=which.dry_run))
            skipped = sum(isinstance(answer, SecretsErased | UniqueConflict) for answer in answers)
            return answers.count(None), skipped

        walk = _Walk(self._engine, queue, limit=which.limit, seconds=seconds)
        cutoff = await self._cutoff(queue, which.older_than)
        shows: Shows | None = (lambda job: job.request.task == task) if task else None
        await walk.through(JobState.FAILED, act, until=cutoff, shows=shows)
        return self._noted("failed jobs retried", queue, which, walk.outcome, task=task)

    async def clean(
        self, queue: str, which: Selection, *, state: JobState = JobState.COMPLETED, seconds: float
    ) -> Outcome:
        """completed | failed | cancelled -> gone, the oldest first. Raises InvalidValue for another state."""
        if not state.terminal:
            raise InvalidValue("state", "must be completed, failed or cancelled")
        walk = _Walk(self._engine, queue, limit=which.limit, seconds=seconds)
        cutoff = await self._cutoff(queue, which.older_than)
        if which.dry_run:
            await walk.count(state, until=cutoff)
        else:
            await walk.through(state, self._removal(queue, state, which), until=cutoff)
        return self._noted("queue cleaned", queue, which, walk.outcome, state=state)

    async def purge(
        self, queue: str, which: Selection, *, states: Sequence[JobState] = NOT_STARTED, seconds: float
    ) -> Outcome:
        """waiting | delayed -> gone. Raises InvalidValue for another state."""
        if not set(states) <= set(NOT_STARTED):
            raise InvalidValue("state", "must be waiting or delayed")
        walk = _Walk(self._engine, queue, limit=which.limit, seconds=seconds)
        cutoff = await self._cutoff(queue, which.older_than)
        for state in states:
            removal = self._removal(queue, state, which)
            await walk.through(state, removal, shows=lambda job: job.request.created_at <= cutoff)
        return self._noted("queue purged", queue, which, walk.outcome, states=list(states))

    def _noted(self, event: str, queue: str, which: Selection, outcome: Outcome, **asked: Any) -> Outcome:
        """Leaves a line in the log of what was changed."""
        if not which.dry_run:
            older_than = which.older_than.total_seconds()
            asked |= {"older_than_seconds": older_than, "limit": which.limit}
            self._log.info(event, queue=queue, **asked, **asdict(outcome))
        return outcome

    async def _cutoff(self, queue: str, older_than: timedelta) -> datetime:
        """By the clock of Redis, as everything that it is compared to."""
        now = (await self._engine.run(stats(self._catalog.queue(queue)))).at
        return now - min(older_than, now - EPOCH)

    def _removal(self, queue: str, state: JobState, which: Selection) -> Act:
        async def act(job_ids: list[str]) -> tuple[int, int]:
            if which.dry_run:
                return len(job_ids), 0
            answers = await self._commits.run(remove(queue, job_ids, state=state))
            return answers.count(None), 0

        return act


class _Walk:
    """Goes through jobs, state by state, and acts on those that match, as far as limit and time allow."""

    def __init__(self, engine: AsyncEngine, queue: str, *, limit: int, seconds: float) -> None:
        self._engine = engine
        self._queue = queue
        self._limit = limit or sys.maxsize
        self._ends = time.monotonic() + seconds
        self._done = self._skipped = self._remaining = 0

    @property
    def outcome(self) -> Outcome:
        """Of all that it went through so far."""
        return Outcome(done=self._done, skipped=self._skipped, remaining=self._remaining)

    async def count(self, state: JobState, *, until: datetime) -> None:
        """As `through` with an act that can be done to every job, but without looking at each."""
        matching = (await self._engine.run(page(self._queue, state, count=1, until=until))).total
        self._done = min(matching, self._limit)
        self._remaining = matching - self._done

    async def through(
        self, state: JobState, act: Act, *, until: datetime | None = None, shows: Shows | None = None
    ) -> None:
        """`until`: leaves out what ended or is due later. `shows`: only these; else all of the state."""
        after: Place | None = None
        left: int | None = None  # that were there at the beginning and were not looked at
        while True:
            began = time.monotonic()
            found = await self._engine.run(page(self._queue, state, count=_STEP, after=after, until=until))
            left = found.total if left is None else left
            if began > self._ends or (self._full and shows is None):
                self._remaining += max(0, left)
                break
            await self._act(await self._matching(found.places, shows), act)
            # Not when nothing is found any more: others may come all the time.
            if not found.more:
                break
            after = found.places[-1]
            left -= len(found.places)
            await asyncio.sleep(max(_LEAST_PAUSE, time.monotonic() - began))

    @property
    def _full(self) -> bool:
        return self._done >= self._limit

    async def _act(self, job_ids: list[str], act: Act) -> None:
        while job_ids and not self._full:
            room = self._limit - self._done
            done, skipped = await act(job_ids[:room])
            self._done += done
            self._skipped += skipped
            job_ids = job_ids[room:]
            if self._full:
                self._ends = min(self._ends, time.monotonic() + _COUNTING_SECONDS)
        self._remaining += len(job_ids)

    async def _matching(self, places: list[Place], shows: Shows | None) -> list[str]:
        job_ids = [place.job_id for place in places]
        if not job_ids or shows is None:
            return job_ids
        return [job.id for job in await self._engine.run(brief(self._queue, job_ids)) if shows(job)]
