"""Queues as a whole: how they are doing, pause, resume, update."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.admin import Admin
from server.admin.queues import Paused
from server.catalog import Catalog, QueueNotFound
from server.dev.valkey import EmbeddedServer
from server.engine.errors import InvalidValue
from server.engine.job import JobState, LeasedJob
from server.engine.overrides import Overrides
from server.engine.sweep import Retention, Retentions, prune
from server.engine.work import Attention, Found, RateLimit, Run, extend
from tests.admin.hands import ALL, LATER, numbered, opened, place, until
from tests.conftest import Clock, raw_client
from tests.engine.hands import LEASE, QUEUE, Worker, completed, put, released, run_of, state


async def paused(admin: Admin, *, seconds: float = ALL) -> Paused:
    return await admin.queues.pause(QUEUE, "", until=None, seconds=seconds)


def said(worker: Worker, *runs: Run) -> dict[str, Attention]:
    """A worker's sign of life, and what it learns by it."""
    return worker.engine.run(extend(QUEUE, runs, lease=LEASE))


def unstarted(job: LeasedJob) -> Run:
    return replace(run_of(job), started_after=None)


async def test_all_queues_are_told_in_the_order_of_the_catalog(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a")

    queues = await admin.queues.all()

    assert [queue.name for queue in queues] == list(Catalog.load().queues)
    assert {queue.name: queue.stats[JobState.WAITING] for queue in queues if queue.stats[JobState.WAITING]} == {
        QUEUE: 1
    }
    assert await admin.queues.one(QUEUE) == next(queue for queue in queues if queue.name == QUEUE)


async def test_a_queue_that_is_not_there_is_refused(admin: Admin) -> None:
    for call in (
        admin.queues.one("emial"),
        admin.queues.resume("emial"),
        admin.queues.pause("emial", "", until=None, seconds=ALL),
        admin.queues.update("emial", Overrides(concurrency=1), reset=[]),
    ):
        with pytest.raises(QueueNotFound):
            await call


async def test_a_pause_tells_why_since_when_and_until_when(admin: Admin, clock: Clock) -> None:
    since = clock.now

    answer = await admin.queues.pause(QUEUE, "SMTP moves", until=since + LATER, seconds=ALL)

    pause = answer.queue.stats.pause
    assert pause is not None
    assert (pause.reason, pause.since, pause.until) == ("SMTP moves", since, since + LATER)
    assert answer.unconfirmed == 0
    assert (await admin.queues.one(QUEUE)).stats.pause == pause


async def test_paused_again_it_keeps_what_is_not_said_again(admin: Admin, clock: Clock) -> None:
    since = clock.now
    await admin.queues.pause(QUEUE, "one", until=since + LATER, seconds=ALL)
    clock.advance(seconds=1)

    pause = (await admin.queues.pause(QUEUE, "two", until=None, seconds=ALL)).queue.stats.pause

    assert pause is not None
    assert (pause.reason, pause.since, pause.until) == ("two", since, since + LATER)


async def test_a_pause_ends_by_itself(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, "a")
    await admin.queues.pause(QUEUE, "", until=clock.now + timedelta(seconds=5), seconds=ALL)
    assert worker.reserve().found is Found.PAUSE
    clock.advance(seconds=5)

    assert not (await admin.queues.one(QUEUE)).stats.paused
    assert worker.take_one()


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(hours=1), timedelta(days=20_000)])
async def test_a_pause_that_is_over_already_is_refused(admin: Admin, clock: Clock, ago: timedelta) -> None:
    """By the clock of Redis, not by that of this machine: the tests' stands in 2030."""
    with pytest.raises(InvalidValue, match=r"^resume_time must lie in the future$"):
        await admin.queues.pause(QUEUE, "", until=clock.now - ago, seconds=ALL)

    assert not (await admin.queues.one(QUEUE)).stats.paused


async def test_a_reason_has_up_to_200_characters(admin: Admin) -> None:
    assert await admin.queues.pause(QUEUE, "ä" * 200, until=None, seconds=ALL)
    with pytest.raises(InvalidValue, match=r"^reason must not be longer than 200 characters$"):
        await admin.queues.pause(QUEUE, "x" * 201, until=None, seconds=ALL)


async def test_a_pause_is_answered_when_what_was_not_started_is_handed_back(admin: Admin, worker: Worker) -> None:
    """Of two jobs that a worker holds, one is started just then: it goes on; the other goes back to its place."""
    put(worker.engine, "a", "b")
    started, stocked = worker.take()
    answer = asyncio.create_task(paused(admin))
    await until(lambda: said(worker, unstarted(stocked)) == {"b": Attention.PAUSED})
    assert not answer.done()

    assert said(worker, run_of(started), unstarted(stocked))["b"] is Attention.PAUSED
    assert said(worker, run_of(started), unstarted(stocked)) == {"b": Attention.PAUSED}
    assert not answer.done()
    worker.engine.run(released(stocked))

    assert (await answer).unconfirmed == 0
    assert worker.reserve().found is Found.PAUSE
    assert state(worker.engine, "b") is JobState.WAITING
    assert worker.engine.run(completed(started)) == [True]


async def test_a_job_that_ends_meanwhile_is_waited_for_no_more(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a")
    job = worker.take_one()
    answer = asyncio.create_task(paused(admin))
    await until(lambda: said(worker, unstarted(job)) != {})
    worker.engine.run(completed(job))

    assert (await answer).unconfirmed == 0


async def test_what_nobody_tells_of_is_unconfirmed_when_the_time_is_up(admin: Admin, worker: Worker) -> None:
    put(worker.engine, *numbered(3))
    worker.take()

    answer = await paused(admin, seconds=0.05)

    assert (answer.unconfirmed, answer.queue.stats.paused) == (3, True)


async def test_waiting_leaves_redis_to_the_others_however_much_workers_hold(
    admin: Admin, valkey: EmbeddedServer, worker: Worker
) -> None:
    for n in range(5):
        put(worker.engine, *numbered(1000, f"batch-{n}"))
        worker.take(1000)

    with raw_client(valkey) as raw:
        raw.config_resetstat()
        began = time.monotonic()
        assert (await paused(admin, seconds=1)).unconfirmed == 5000
        lasted = time.monotonic() - began
        stats: Any = raw.info("commandstats")

    assert stats["cmdstat_evalsha"]["usec"] / 1_000_000 < lasted / 2


async def test_a_lease_that_has_run_out_is_waited_for_no_more(admin: Admin, clock: Clock, worker: Worker) -> None:
    """Its worker may not start the job any more."""
    put(worker.engine, "a")
    worker.take()
    clock.advance(LEASE)

    assert (await paused(admin)).unconfirmed == 0


async def test_a_pause_is_not_waited_for_beyond_its_end(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, "a")
    worker.take()

    answer = await asyncio.wait_for(
        admin.queues.pause(QUEUE, "", until=clock.now + timedelta(milliseconds=50), seconds=ALL), 10
    )

    assert answer.unconfirmed == 1


async def test_resumed_as_often_as_you_like_a_queue_goes_on(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a")
    await paused(admin)

    await admin.queues.resume(QUEUE)
    queue = await admin.queues.resume(QUEUE)

    assert queue.stats.pause is None
    assert worker.take_one()


async def test_the_concurrency_that_is_set_holds_over_that_of_the_worker(admin: Admin, worker: Worker) -> None:
    put(worker.engine, *numbered(5))

    queue = await admin.queues.update(QUEUE, Overrides(concurrency=2), reset=[])

    assert (queue.rules.concurrency, queue.rules.updated) == (2, ("concurrency",))
    assert len(worker.take(concurrency=5)) == 2
    assert (await admin.queues.update(QUEUE, Overrides(), reset=["concurrency"])).rules.concurrency == 5
    assert len(worker.take(concurrency=5)) == 3


async def test_lowered_below_what_runs_what_runs_goes_on(admin: Admin, worker: Worker) -> None:
    put(worker.engine, *numbered(5))
    running = worker.take(3)

    await admin.queues.update(QUEUE, Overrides(concurrency=1), reset=[])

    assert worker.reserve().found is Found.LIMIT
    assert worker.engine.run(completed(*running)) == [True] * 3
    assert len(worker.take()) == 1


async def test_the_rate_limit_that_is_set_holds_over_that_of_the_environment(
    valkey: EmbeddedServer, clock: Clock, worker: Worker
) -> None:
    said_by_environment = RateLimit(count=2, period=timedelta(seconds=10))
    async with opened(valkey, clock, EMAIL_QUEUE_RATE_LIMIT="2/10s") as admin:
        put(worker.engine, *numbered(20))
        assert (await admin.queues.one(QUEUE)).rules.rate_limit == said_by_environment

        other = RateLimit(count=3, period=timedelta(minutes=1))
        queue = await admin.queues.update(QUEUE, Overrides(rate_limit=other), reset=[])
        assert (queue.rules.rate_limit, queue.rules.updated) == (other, ("rate_limit",))
        assert len(worker.take(rate_limit=said_by_environment)) == 3

        queue = await admin.queues.update(QUEUE, Overrides(unlimited_rate=True), reset=[])
        assert (queue.rules.rate_limit, queue.rules.updated) == (None, ("rate_limit",))
        assert len(worker.take(5, rate_limit=said_by_environment)) == 5

        queue = await admin.queues.update(QUEUE, Overrides(), reset=["rate_limit"])
        assert (queue.rules.rate_limit, queue.rules.updated) == (said_by_environment, ())
        clock.advance(minutes=2)
        assert len(worker.take(rate_limit=said_by_environment)) == 2


@pytest.mark.parametrize("kind", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
async def test_the_retention_that_is_set_holds_over_that_of_the_worker(
    admin: Admin, clock: Clock, worker: Worker, kind: JobState
) -> None:
    """Cancelled jobs are kept as completed ones."""
    place(worker, kind, numbered(10))
    clock.advance(minutes=2)
    usual = Retentions()
    assert worker.engine.run(prune(QUEUE, usual)).gone == 0
    failing = kind is JobState.FAILED

    by_number = Overrides(failed_count=4) if failing else Overrides(completed_count=4)
    await admin.queues.update(QUEUE, by_number, reset=[])
    assert worker.engine.run(prune(QUEUE, usual)).gone == 6

    minute = timedelta(minutes=1)
    by_age = Overrides(failed_age=minute) if failing else Overrides(completed_age=minute)
    rules = (await admin.queues.update(QUEUE, by_age, reset=[])).rules
    assert worker.engine.run(prune(QUEUE, usual)).gone == 4
    assert (rules.failed if failing else rules.completed) == Retention(age=minute, count=4)

    name = "failed_retention" if failing else "completed_retention"
    rules = (await admin.queues.update(QUEUE, Overrides(), reset=[name])).rules
    assert (rules.failed if failing else rules.completed).count == 10_000


async def test_what_is_absent_stays_as_it_was_set(admin: Admin) -> None:
    await admin.queues.update(QUEUE, Overrides(concurrency=7, healthy_failed=1), reset=[])

    rules = (await admin.queues.update(QUEUE, Overrides(healthy_waiting=2), reset=[])).rules

    assert (rules.concurrency, rules.healthy_failed, rules.healthy_waiting) == (7, 1, 2)
    assert rules.updated == ("concurrency", "health")


async def test_one_setting_is_reset_and_the_others_stay(admin: Admin) -> None:
    await admin.queues.update(QUEUE, Overrides(concurrency=7, healthy_failed=1, needs_workers=False), reset=[])

    rules = (await admin.queues.update(QUEUE, Overrides(concurrency=8), reset=["health", "health"])).rules

    assert (rules.concurrency, rules.healthy_failed, rules.needs_workers) == (8, 10, True)
    assert rules.updated == ("concurrency",)


async def test_settings_outlive_the_server_and_hold_for_every_replica(
    admin: Admin, valkey: EmbeddedServer, clock: Clock
) -> None:
    change = Overrides(
        concurrency=9,
        rate_limit=RateLimit(count=1, period=timedelta(milliseconds=1)),
        completed_age=timedelta(seconds=1),
        completed_count=0,
        failed_age=timedelta(days=3650),
        failed_count=10_000_000,
        healthy_failed=0,
        healthy_waiting=10_000_000,
        healthy_stalled=3,
        needs_workers=False,
    )
    rules = (await admin.queues.update(QUEUE, change, reset=[])).rules

    async with opened(valkey, clock, EMAIL_QUEUE_CONCURRENCY="77") as another:
        assert (await another.queues.one(QUEUE)).rules == rules
        assert len(rules.updated) == 5
        assert (await another.queues.update(QUEUE, Overrides(), reset=["concurrency"])).rules.concurrency == 77
