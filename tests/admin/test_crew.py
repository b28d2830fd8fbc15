"""Who works: each process once, over all queues that it takes jobs from."""

from __future__ import annotations

import pytest

from server.admin import Admin
from server.catalog import QueueNotFound
from server.engine.engine import Engine
from server.engine.work import attend, leave
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, put


def come(engine: Engine, clock: Clock, worker: str, queue: str, *tasks: str, threads: int = 8) -> None:
    engine.run(attend(queue, worker, tasks=tasks, threads=threads, started_at=clock.now))


async def test_a_process_is_listed_once_with_all_its_queues(admin: Admin, engine: Engine, clock: Clock) -> None:
    began = clock.now
    come(engine, clock, "w2", "email", "email.welcome", "email.password_reset")
    come(engine, clock, "w1", "sync", "sync.courses", threads=2)
    clock.advance(seconds=5)
    come(engine, clock, "w2", "sync", "sync.courses")

    first, second = await admin.crews.all()

    assert (first.name, first.queues, first.tasks, first.threads) == ("w1", ("sync",), ("sync.courses",), 2)
    assert (second.name, second.queues, second.threads) == ("w2", ("email", "sync"), 8)
    assert second.tasks == ("email.password_reset", "email.welcome", "sync.courses")
    assert (second.started_at, second.seen_at) == (began, clock.now)
    assert [crew.name for crew in await admin.crews.all("email")] == ["w2"]
    assert [crew.name for crew in await admin.crews.all("payment")] == []


async def test_it_tells_how_many_jobs_each_holds(admin: Admin, clock: Clock, worker: Worker) -> None:
    """Also of one that takes jobs and has not introduced itself yet."""
    put(worker.engine, "a", "b", "c")
    worker.take(2)
    come(worker.engine, clock, "w2", QUEUE, "email.welcome")

    first, second = await admin.crews.all(QUEUE)

    assert (first.name, first.active, first.threads, first.tasks, first.started_at) == ("w1", 2, 0, (), None)
    assert (second.name, second.active) == ("w2", 0)


async def test_one_that_left_or_fell_silent_is_not_listed(admin: Admin, engine: Engine, clock: Clock) -> None:
    for name in ("left", "silent", "there"):
        come(engine, clock, name, QUEUE)
    engine.run(leave(QUEUE, "left"))
    clock.advance(seconds=15, milliseconds=1)
    come(engine, clock, "there", QUEUE)

    assert [crew.name for crew in await admin.crews.all()] == ["there"]


async def test_a_queue_that_is_not_there_has_no_workers_to_list(admin: Admin) -> None:
    with pytest.raises(QueueNotFound):
        await admin.crews.all("emial")
