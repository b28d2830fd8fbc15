"""Why a job is not running: all reasons, and the one to deal with first in front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from server.admin import Admin
from server.admin.waiting import Reason, ReasonKind
from server.dev.valkey import EmbeddedServer
from server.engine.call import Call
from server.engine.errors import JobNotFound
from server.engine.job import JobState
from server.engine.overrides import Overrides
from server.engine.steer import pause, resume
from server.engine.work import RateLimit, attend
from tests.admin.hands import LATER, opened, place
from tests.conftest import Clock
from tests.engine.hands import ERROR, QUEUE, Worker, completed, new_job, put, retried, snoozed

PAUSED, DELAYED, NO_WORKER = ReasonKind.PAUSED, ReasonKind.DELAYED, ReasonKind.NO_WORKER
CONCURRENCY_LIMIT, RATE_LIMIT, BACKLOG = ReasonKind.CONCURRENCY_LIMIT, ReasonKind.RATE_LIMIT, ReasonKind.BACKLOG
MINUTE = timedelta(minutes=1)


@pytest.fixture
def manned(worker: Worker, clock: Clock) -> None:
    man(worker, clock)


def man(worker: Worker, clock: Clock, *tasks: str) -> None:
    """A worker that knows these tasks is there; without any, one that knows that of the tests."""
    knows = tasks or ("email.welcome",)
    worker.engine.run(attend(QUEUE, worker.name, tasks=knows, threads=1, started_at=clock.now))


async def explained(admin: Admin, job_id: str = "a") -> list[Reason]:
    return await admin.jobs.explain(await admin.jobs.one(QUEUE, job_id))


def kinds(reasons: Sequence[Reason]) -> list[ReasonKind]:
    return [reason.kind for reason in reasons]


@pytest.mark.usefixtures("manned")
async def test_a_job_that_nothing_holds_up_tells_its_place_in_the_line(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a", "b", "c", new_job("urgent", priority=1))

    found = {job_id: (await explained(admin, job_id)) for job_id in ("urgent", "a", "b")}

    assert {job_id: kinds(reasons) for job_id, reasons in found.items()} == {each: [BACKLOG] for each in found}
    assert {job_id: (reason.ahead, reason.message) for job_id, (reason,) in found.items()} == {
        "urgent": (0, "it is the next in line"),
        "a": (1, "1 job is before it"),
        "b": (2, "2 jobs are before it"),
    }


@pytest.mark.usefixtures("manned")
@pytest.mark.parametrize("state", [JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
async def test_a_job_that_runs_or_has_ended_needs_no_reason(admin: Admin, worker: Worker, state: JobState) -> None:
    place(worker, state, ["a"])
    worker.engine.run(pause(QUEUE))

    assert await explained(admin) == []


async def test_a_job_that_is_not_there_is_not_found(admin: Admin) -> None:
    with pytest.raises(JobNotFound):
        await explained(admin)


@pytest.mark.usefixtures("manned")
async def test_a_pause_tells_its_reason_and_its_end(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, "a")
    worker.engine.run(pause(QUEUE, "SMTP moves", until=clock.now + LATER))
    with_end = await explained(admin)
    worker.engine.run(resume(QUEUE))
    worker.engine.run(pause(QUEUE))
    without = await explained(admin)

    assert kinds(with_end) == kinds(without) == [PAUSED, BACKLOG]
    assert (with_end[0].message, with_end[0].until) == ("the queue is paused: SMTP moves", clock.now + LATER)
    assert (without[0].message, without[0].until) == ("the queue is paused", None)


@pytest.mark.usefixtures("manned")
async def test_a_delayed_job_tells_when_it_is_due(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, new_job("a", delay=LATER))

    (reason,) = await explained(admin)

    assert (reason.kind, reason.until, reason.message) == (
        DELAYED,
        clock.now + LATER,
        "it is not due yet: it was enqueued for later",
    )


@pytest.mark.usefixtures("manned")
@pytest.mark.parametrize(("settle", "did"), [(retried, "failed"), (snoozed, "put it off")])
async def test_a_retry_and_a_snooze_are_delays_and_say_of_what(
    admin: Admin, clock: Clock, worker: Worker, settle: Callable[..., Call[list[bool]]], did: str
) -> None:
    put(worker.engine, "a")
    worker.engine.run(settle(worker.take_one(), delay=MINUTE))

    (reason,) = await explained(admin)

    assert (reason.kind, reason.until) == (DELAYED, clock.now + MINUTE)
    assert reason.message == f"it is not due yet: attempt 1 {did}: {ERROR.message}"


@pytest.mark.usefixtures("manned")
@pytest.mark.parametrize(
    ("delay", "pause_for", "order"),
    [
        (2 * LATER, LATER, [DELAYED, PAUSED]),
        (LATER, 2 * LATER, [PAUSED, DELAYED]),
        (LATER, None, [PAUSED, DELAYED]),
    ],
    ids=["due after the pause", "due within the pause", "paused without end"],
)
async def test_of_a_delay_and_a_pause_what_holds_longer_comes_first(
    admin: Admin, clock: Clock, worker: Worker, delay: timedelta, pause_for: timedelta | None, order: list[ReasonKind]
) -> None:
    put(worker.engine, new_job("a", delay=delay))
    worker.engine.run(pause(QUEUE, until=clock.now + pause_for if pause_for else None))

    assert kinds(await explained(admin)) == order


async def test_without_workers_that_comes_first(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a")

    reasons = await explained(admin)

    assert kinds(reasons) == [NO_WORKER, BACKLOG]
    assert (reasons[0].message, reasons[0].until) == ("the queue has no workers", None)


async def test_a_task_that_no_worker_knows_is_named(admin: Admin, clock: Clock, worker: Worker) -> None:
    man(worker, clock, "email.password_reset")
    put(worker.engine, "a")

    reasons = await explained(admin)

    assert kinds(reasons) == [NO_WORKER, BACKLOG]
    assert reasons[0].message == "no worker of the queue knows task email.welcome"


async def test_a_worker_that_has_not_introduced_itself_may_know_the_task(admin: Admin, worker: Worker) -> None:
    worker.take()
    put(worker.engine, "a")

    assert kinds(await explained(admin)) == [BACKLOG]


async def test_a_job_that_is_due_and_that_nobody_lines_up_lacks_a_worker(
    admin: Admin, clock: Clock, worker: Worker
) -> None:
    put(worker.engine, new_job("a", delay=MINUTE))
    clock.advance(MINUTE)

    reasons = await explained(admin)
    assert kinds(reasons) == [NO_WORKER, DELAYED]
    assert reasons[1].message == "it is due: the next look of a worker lines it up"

    man(worker, clock)
    assert kinds(await explained(admin)) == [DELAYED]


@pytest.mark.usefixtures("manned")
async def test_at_the_concurrency_limit_that_comes_first(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a", "b", "c", "d", "e", "f")
    worker.take(5)

    reasons = await explained(admin, "f")

    assert kinds(reasons) == [CONCURRENCY_LIMIT, BACKLOG]
    assert reasons[0].message == "as many jobs of the queue run as may: 5 of 5"


@pytest.mark.usefixtures("manned")
async def test_the_limits_that_an_operator_set_count(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, "a", "b")
    limits = Overrides(concurrency=1, rate_limit=RateLimit(count=1, period=MINUTE))
    await admin.queues.update(QUEUE, limits, reset=[])
    began = clock.now
    (job,) = worker.take()
    clock.advance(seconds=10)
    running = await explained(admin, "b")
    worker.engine.run(completed(job))
    ended = await explained(admin, "b")

    assert kinds(running) == [CONCURRENCY_LIMIT, RATE_LIMIT, BACKLOG]
    assert kinds(ended) == [RATE_LIMIT, BACKLOG]
    assert (ended[0].message, ended[0].until) == (
        "as many jobs of the queue have started within 60 s as may: 1",
        began + MINUTE,
    )
    clock.advance(seconds=50)
    man(worker, clock)
    assert kinds(await explained(admin, "b")) == [BACKLOG]


async def test_the_rate_limit_of_the_environment_counts(valkey: EmbeddedServer, clock: Clock, worker: Worker) -> None:
    """Its end is not known where more have started than may, because it was lowered meanwhile."""
    put(worker.engine, "a", "b", "c")
    man(worker, clock)
    worker.engine.run(completed(*worker.take(2, rate_limit=RateLimit(count=2, period=MINUTE))))

    async with opened(valkey, clock, EMAIL_QUEUE_RATE_LIMIT="2/60s") as admin:
        known = await explained(admin, "c")
    async with opened(valkey, clock, EMAIL_QUEUE_RATE_LIMIT="1/60s") as admin:
        unknown = await explained(admin, "c")
        await admin.queues.update(QUEUE, Overrides(unlimited_rate=True), reset=[])
        lifted = await explained(admin, "c")

    assert kinds(known) == kinds(unknown) == [RATE_LIMIT, BACKLOG]
    assert (known[0].until, unknown[0].until) == (clock.now + MINUTE, None)
    assert kinds(lifted) == [BACKLOG]


async def test_all_that_apply_are_told_together(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, "a", "b", "c")
    await admin.queues.update(QUEUE, Overrides(concurrency=1, rate_limit=RateLimit(count=1, period=LATER)), reset=[])
    worker.take()
    man(worker, clock, "email.password_reset")
    worker.engine.run(pause(QUEUE))

    reasons = await explained(admin, "c")

    assert kinds(reasons) == [PAUSED, NO_WORKER, CONCURRENCY_LIMIT, RATE_LIMIT, BACKLOG]
    assert reasons[-1].ahead == 1
