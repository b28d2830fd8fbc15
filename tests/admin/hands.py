"""What tests of the admin room need in their hands: the room itself, and jobs in any state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from server.admin import Admin
from server.catalog import Catalog
from server.dev.valkey import EmbeddedServer
from server.engine.admit import cancel
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.job import JobState, NewJob
from server.engine.store import Store
from server.settings import Settings
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, completed, failed, new_job, put

ALL = 60.0  # seconds: more than any bulk verb of a test needs
LATER = timedelta(hours=1)


@asynccontextmanager
async def opened(server: EmbeddedServer, clock: Clock | None = None, **variables: str) -> AsyncIterator[Admin]:
    """`variables`: what the environment says about queues, as EMAIL_QUEUE_CONCURRENCY."""
    engine = AsyncEngine(Store.parse(server.url), clock=clock)
    settings_of = Settings(queue_variables=variables).queue
    yield Admin(engine=engine, commits=Commits(engine), catalog=Catalog.load(), settings_of=settings_of)
    await engine.close()


def numbered(count: int, name: str = "job") -> list[str]:
    """Ids that sort by their numbers."""
    return [f"{name}-{n:05d}" for n in range(count)]


def place(worker: Worker, state: JobState, jobs: Sequence[str | NewJob]) -> None:
    """Brings these jobs, up to 1,000, into the state. Nothing else may wait."""
    new = [new_job(job) if isinstance(job, str) else job for job in jobs]
    if state is JobState.DELAYED:
        new = [new_job(job.id, task=job.task, labels=job.labels, delay=LATER) for job in new]
    put(worker.engine, *new)
    if state is JobState.CANCELLED:
        for job in new:
            worker.engine.run(cancel(QUEUE, job.id, "changed my mind"))
    if state not in (JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED):
        return
    while taken := worker.take(1000):
        if state is not JobState.ACTIVE:
            worker.engine.run(completed(*taken) if state is JobState.COMPLETED else failed(*taken))


async def until(happened: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Lets the loop go on until it has happened. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110  (it happens in Redis: nobody sets an event)
            await asyncio.sleep(0)
