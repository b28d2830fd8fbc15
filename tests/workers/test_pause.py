"""A worker hears of a pause: what has not started goes back to its place, what runs may finish, nothing else starts."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from server.catalog import JobContext, handler
from server.engine import steer
from server.engine.job import JobState
from tests.workers.conftest import OnDuty
from tests.workers.desk import Desk
from tests.workers.doors import LOOK, Doors, with_stock
from tests.workers.duty import QUEUE, Duty, Probe, new_job, until
from workers import keeper

WAITING, ACTIVE, COMPLETED = JobState.WAITING, JobState.ACTIVE, JobState.COMPLETED


def pause(duty: Duty) -> None:
    """As the server does it: the answer comes when nothing can start any more."""
    duty.engine.run(steer.pause(QUEUE))
    until(lambda: duty.engine.run(steer.unstarted(QUEUE)) == 0, seconds=10)


def test_the_stock_goes_back_while_a_job_runs_and_comes_again_in_its_order(on_duty: OnDuty) -> None:
    doors = Doors()
    duty, jobs = with_stock(doors, on_duty, 20)

    pause(duty)
    assert duty.counts() == {ACTIVE: 1, WAITING: 19}
    doors.opened.set()
    duty.settled()
    assert (duty.counts(), doors.order) == ({COMPLETED: 1, WAITING: 19}, [0])

    duty.engine.run(steer.resume(QUEUE))
    duty.all_in(COMPLETED, 20)
    assert doors.order == [*range(20)]
    assert all((duty.job(job_id).spent.lost, duty.job(job_id).spent.failures) == (0, 0) for job_id in jobs)


def test_what_runs_when_the_pause_comes_may_finish(on_duty: OnDuty) -> None:
    inside, opened = threading.Semaphore(0), asyncio.Event()

    @handler(LOOK)
    async def wait(_: Probe, _job: JobContext) -> int:
        inside.release()
        await opened.wait()
        return 7

    duty = on_duty(wait, threads=4)
    jobs = duty.enqueue_all([new_job(LOOK) for _ in range(4)])
    for _ in jobs:
        assert inside.acquire(timeout=20)

    pause(duty)
    assert duty.counts() == {ACTIVE: 4}
    duty._loop.loop.call_soon_threadsafe(opened.set)  # type: ignore[union-attr]

    assert [duty.when(job_id).result for job_id in jobs] == [b"7"] * 4


def test_the_first_that_meets_the_pause_tells_the_keeper(off_duty: OnDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken goes back long before the next beat is due."""
    monkeypatch.setattr(keeper, "_BEAT", 1000)

    @handler(LOOK)
    def run(_: Probe, _job: JobContext) -> None: ...

    with Desk(off_duty(run, lease=timedelta(minutes=10))) as desk:
        desk.duty.enqueue_all([new_job(LOOK) for _ in range(2)])
        messages = [desk.take(), desk.take()]
        desk.duty.engine.run(steer.pause(QUEUE))

        assert next(desk.consumer) is None

        until(lambda: desk.duty.counts() == {WAITING: 2})
        assert not any(message.holding.begin() for message in messages)
        for message in messages:
            desk.consumer.ack(message)
