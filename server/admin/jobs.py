"""One job, and lists of them: look, explain, retry, remove, promote."""

from __future__ import annotations

from collections.abc import Callable

from server import logs
from server.admin.listing import Listed, Listing, listed
from server.admin.rules import Rules
from server.admin.tasks import check_task
from server.admin.waiting import Reason, reasons
from server.catalog import Catalog
from server.engine import mend
from server.engine.admit import get
from server.engine.async_engine import AsyncEngine
from server.engine.call import Call
from server.engine.commits import Commits
from server.engine.errors import EngineError
from server.engine.job import Job
from server.engine.look import standing
from server.settings import QueueSettings


class Jobs:
    """Every method that names a job raises JobNotFound."""

    def __init__(
        self, *, engine: AsyncEngine, commits: Commits, catalog: Catalog, settings_of: Callable[[str], QueueSettings]
    ) -> None:
        self._engine = engine
        self._commits = commits
        self._catalog = catalog
        self._settings_of = settings_of
        self._log = logs.get_logger(__name__)

    async def page(self, listing: Listing, *, token: str = "") -> Listed:
        """Raises InvalidValue, and TaskNotFound for a task that the queue never had."""
        await check_task(self._engine, self._catalog, self._catalog.queue(listing.queue), listing.task)
        return await listed(self._engine, listing, token)

    async def one(self, queue: str, job_id: str) -> Job:
        return await self._engine.run(get(self._catalog.queue(queue), job_id))

    async def explain(self, job: Job) -> list[Reason]:
        """Why it is not running; nothing when it is, or has ended."""
        settings = self._settings_of(job.queue)
        period = settings.rate_limit.period if settings.rate_limit else None
        found = await self._engine.run(standing(job.queue, job.id, period=period))
        return reasons(found, Rules.of(settings, found.overrides), last=job.attempts[-1] if job.attempts else None)

    async def retry(self, queue: str, job_id: str) -> Job:
        """Raises JobInState, SecretsErased, UniqueConflict."""
        await self._mend(mend.revive(self._catalog.queue(queue), [job_id]))
        self._log.info("job retried", queue=queue, job_id=job_id)
        return await self.one(queue, job_id)

    async def remove(self, queue: str, job_id: str) -> None:
        """Raises JobInState where it is active."""
        await self._mend(mend.remove(self._catalog.queue(queue), [job_id]))
        self._log.info("job removed", queue=queue, job_id=job_id)

    async def promote(self, queue: str, job_id: str) -> Job:
        """Raises JobInState where it neither waits nor is delayed."""
        await self._commits.run(mend.hasten(self._catalog.queue(queue), job_id))
        self._log.info("job promoted", queue=queue, job_id=job_id)
        return await self.one(queue, job_id)

    async def _mend(self, call: Call[list[EngineError | None]]) -> None:
        (refusal,) = await self._commits.run(call)
        if refusal is not None:
            raise refusal
