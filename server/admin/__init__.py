"""What operators see and do, whichever way they come in: rpc and HTTP are two doors of this room.

queues    all queues and one: how they are doing, whether they are healthy; pause, resume, update
jobs      one job, and lists of them: look, explain, retry, remove, promote
bulk      what is done to many jobs, in steps that nobody waits for
crew      the worker processes
rules     the settings of a queue that hold now
health    the judgement
waiting   why a job is not running
listing   pages, and the tokens between them
tasks     which tasks a filter may name
"""

from __future__ import annotations

from collections.abc import Callable

from server.admin.bulk import Bulk
from server.admin.crew import Crews
from server.admin.jobs import Jobs
from server.admin.queues import Queues
from server.catalog import Catalog
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.settings import QueueSettings


class Admin:
    """The whole of it. Every method that names a queue raises QueueNotFound; all raise BackendUnavailable."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        commits: Commits,
        catalog: Catalog,
        settings_of: Callable[[str], QueueSettings],
    ) -> None:
        self.queues = Queues(engine=engine, commits=commits, catalog=catalog, settings_of=settings_of)
        self.jobs = Jobs(engine=engine, commits=commits, catalog=catalog, settings_of=settings_of)
        self.bulk = Bulk(engine=engine, commits=commits, catalog=catalog)
        self.crews = Crews(engine=engine, catalog=catalog)


__all__ = ["Admin"]
