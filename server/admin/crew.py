"""The worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.catalog import Catalog
from server.engine import look
from server.engine.async_engine import AsyncEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """One process, over all queues that it takes jobs from."""

    name: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    threads: int  # 0: it has not introduced itself yet
    active: int  # jobs that it holds
    started_at: datetime | None
    seen_at: datetime


class Crews:
    def __init__(self, *, engine: AsyncEngine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog

    async def all(self, queue: str = "") -> list[Crew]:
        """Those that were heard of lately, by name; with `queue`, those that take its jobs."""
        names = [self._catalog.queue(queue)] if queue else self._catalog.queues
        found = await self._engine.run_all([look.crew(name) for name in names])
        by_name: dict[str, list[tuple[str, look.Worker]]] = {}
        for name, workers in zip(names, found, strict=True):
            for worker in workers:
                by_name.setdefault(worker.name, []).append((name, worker))
        return [_crew(name, seen) for name, seen in sorted(by_name.items())]


def _crew(name: str, seen: list[tuple[str, look.Worker]]) -> Crew:
    said = [worker.crew for _, worker in seen if worker.crew]
    return Crew(
        name=name,
        queues=tuple(queue for queue, _ in seen),
        tasks=tuple(sorted({task for each in said for task in each.tasks})),
        threads=max((each.threads for each in said), default=0),
        active=sum(worker.active for _, worker in seen),
        started_at=min((each.started_at for each in said), default=None),
        seen_at=max(worker.seen_at for _, worker in seen),
    )
