"""Which tasks a filter may name."""

from __future__ import annotations

from server.catalog import Catalog, TaskNotFound
from server.catalog.names import nearest
from server.engine.async_engine import AsyncEngine
from server.engine.look import stats


async def check_task(engine: AsyncEngine, catalog: Catalog, queue: str, task: str) -> None:
    """Raises TaskNotFound for one that neither the catalog nor the queue knows: a misspelt filter matches nothing, and
    that would look like good news. Empty: no filter.
    """
    if not task or task in catalog.tasks:
        return
    # Plain Dramatiq actors are in no catalog.
    known = {*catalog.tasks, *(await engine.run(stats(queue))).totals.enqueued}
    if task not in known:
        raise TaskNotFound(task, nearest(task, known))
