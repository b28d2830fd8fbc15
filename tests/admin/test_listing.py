"""Lists of jobs: each that stays exactly once, whatever comes and goes between two pages."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from server.admin import Admin
from server.admin.listing import Listed, Listing, listed
from server.catalog import QueueNotFound
from server.dev.valkey import EmbeddedServer
from server.engine.async_engine import AsyncEngine
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.job import JobState
from server.engine.look import Place
from server.engine.mend import remove
from server.engine.store import Store
from tests.admin.hands import LATER, numbered, place
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, completed, failed, new_job, put, retried

T = TypeVar("T")
OTHER_TASK = "email.password_reset"


def listing(state: JobState = JobState.WAITING, **terms: Any) -> Listing:
    return Listing(**({"queue": QUEUE, "state": state} | terms))


def ids(page: Listed) -> list[str]:
    return [job.id for job in page.jobs]


async def pages(admin: Admin, terms: Listing) -> AsyncIterator[Listed]:
    token = ""
    while True:
        page = await admin.jobs.page(terms, token=token)
        yield page
        token = page.next_token
        if not token:
            return


async def walked(admin: Admin, terms: Listing) -> list[str]:
    return [job_id async for page in pages(admin, terms) for job_id in ids(page)]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("state", JobState)
async def test_every_state_is_listed_from_either_end(
    admin: Admin, worker: Worker, state: JobState, *, newest_first: bool
) -> None:
    """All of one moment: where jobs ended together, their ids keep them apart."""
    everyone = numbered(1000)
    place(worker, state, everyone)

    found = [page async for page in pages(admin, listing(state, size=99, newest_first=newest_first))]

    assert [len(page.jobs) for page in found] == [99] * 10 + [10]
    assert {page.total for page in found} == {1000}
    jobs = [job for page in found for job in page.jobs]
    assert {job.state for job in jobs} == {state}
    assert [job.id for job in jobs] == sorted(everyone, reverse=newest_first)


async def test_waiting_jobs_stand_in_the_order_of_the_line(admin: Admin, engine: Engine) -> None:
    put(engine, "first", "second", new_job("urgent", priority=5), new_job("idle", priority=-5))

    assert await walked(admin, listing()) == ["urgent", "first", "second", "idle"]


async def test_delayed_jobs_stand_in_the_order_in_which_they_are_due(admin: Admin, engine: Engine) -> None:
    put(engine, new_job("late", delay=2 * LATER), new_job("soon", delay=LATER))

    page = await admin.jobs.page(listing(JobState.DELAYED))

    assert ids(page) == ["soon", "late"]
    assert [job.run_at for job in page.jobs] == sorted(job.run_at for job in page.jobs if job.run_at)


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
async def test_ended_jobs_come_newest_first(admin: Admin, clock: Clock, worker: Worker, state: JobState) -> None:
    for job_id in ("b", "c", "a"):
        place(worker, state, [job_id])
        clock.advance(seconds=1)

    assert await walked(admin, listing(state)) == ["a", "c", "b"]
    assert await walked(admin, listing(state, newest_first=False)) == ["b", "c", "a"]


async def test_a_list_of_nothing_is_one_empty_page(admin: Admin) -> None:
    assert await admin.jobs.page(listing(JobState.FAILED)) == Listed(jobs=[], next_token="", total=0)


async def test_a_page_that_holds_the_last_job_is_the_last(admin: Admin, engine: Engine) -> None:
    put(engine, "a", "b", "c")

    assert (await admin.jobs.page(listing(size=3))).next_token == ""
    assert (await admin.jobs.page(listing(size=2))).next_token != ""


async def test_a_list_tells_of_a_job_in_short(admin: Admin, clock: Clock, worker: Worker) -> None:
    """Of the attempts only the newest; no payload and no result."""
    place(worker, JobState.WAITING, [new_job("a", labels={"course": "7"}), "b"])
    first = worker.take_one()
    worker.engine.run(completed(*worker.take(), result=b'{"large": true}'))
    worker.engine.run(retried(first))
    clock.advance(seconds=2)
    worker.engine.run(failed(worker.take_one()))

    (failure,) = (await admin.jobs.page(listing(JobState.FAILED))).jobs
    (success,) = (await admin.jobs.page(listing(JobState.COMPLETED))).jobs

    assert failure.request.labels == {"course": "7"}
    assert [attempt.number for attempt in failure.attempts] == [2]
    assert failure.failure is not None
    assert (failure.request.payload, success.request.payload, success.result) == (b"", b"", None)


@pytest.mark.parametrize("size", [-1, 0, 1001])
def test_a_page_has_1_to_1000_jobs(size: int) -> None:
    with pytest.raises(InvalidValue, match=r"^page_size must lie between 1 and 1,000$"):
        listing(size=size)


async def test_a_queue_that_is_not_there_has_no_list(admin: Admin) -> None:
    with pytest.raises(QueueNotFound):
        await admin.jobs.page(listing(queue="emial"))


MALFORMED = {
    "no base64": "!!!",
    "not ASCII": "ärger",
    "no JSON": base64.urlsafe_b64encode(b"nonsense").decode(),
    "other JSON": base64.urlsafe_b64encode(b"[1,2]").decode(),
    "nothing in it": "==",
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_token_is_refused(admin: Admin, token: str) -> None:
    with pytest.raises(InvalidValue, match=r"^page_token "):
        await admin.jobs.page(listing(), token=token)


@pytest.mark.parametrize("score", ["nan", "inf", "1_0", " 1", "(1", "0x10", "1e5"])
async def test_a_token_with_a_score_that_redis_would_not_take_is_refused(admin: Admin, score: str) -> None:
    token = listing().token(Place(job_id="a", score=score))

    with pytest.raises(InvalidValue, match=r"^page_token "):
        await admin.jobs.page(listing(), token=token)


OTHER_TERMS: dict[str, dict[str, Any]] = {
    "queue": {"queue": "sync"},
    "state": {"state": JobState.DELAYED},
    "order": {"newest_first": True},
    "task": {"task": OTHER_TASK},
    "labels": {"labels": {"course": "7"}},
}


@pytest.mark.parametrize("terms", OTHER_TERMS.values(), ids=OTHER_TERMS)
async def test_the_token_of_another_list_is_refused(admin: Admin, engine: Engine, terms: dict[str, Any]) -> None:
    put(engine, "a", "b")
    token = (await admin.jobs.page(listing(size=1))).next_token

    with pytest.raises(InvalidValue, match=r"^page_token belongs to a list with other terms$"):
        await admin.jobs.page(listing(**terms), token=token)


async def test_a_page_may_be_larger_than_the_one_before(admin: Admin, engine: Engine) -> None:
    """The size is no term of the list; neither is an order that is given as it would be anyway."""
    put(engine, "a", "b", "c")
    token = (await admin.jobs.page(listing(size=1))).next_token

    assert ids(await admin.jobs.page(listing(size=10, newest_first=False), token=token)) == ["b", "c"]


async def test_only_jobs_of_a_task_or_with_labels_are_listed(admin: Admin, engine: Engine) -> None:
    put(
        engine,
        new_job("a", labels={"course": "7", "term": "1"}),
        new_job("b", labels={"course": "8"}),
        new_job("c", task=OTHER_TASK, labels={"course": "7"}),
        "d",
    )

    assert await walked(admin, listing(task=OTHER_TASK)) == ["c"]
    assert await walked(admin, listing(labels={"course": "7"})) == ["a", "c"]
    assert await walked(admin, listing(labels={"course": "7", "term": "1"})) == ["a"]
    assert await walked(admin, listing(labels={"course": ""})) == []
    assert await walked(admin, listing(task=OTHER_TASK, labels={"course": "8"})) == []
    assert (await admin.jobs.page(listing(task=OTHER_TASK))).total == 4


async def test_a_page_with_a_filter_looks_at_a_bounded_number_of_jobs(admin: Admin, engine: Engine) -> None:
    """It may be empty and not the last."""
    for at in range(0, 5000, 1000):
        put(engine, *numbered(1000, name=f"j{at}"))
    put(engine, new_job("wanted", task=OTHER_TASK))

    found = [page async for page in pages(admin, listing(task=OTHER_TASK, size=10))]

    assert [ids(page) for page in found] == [[], [], ["wanted"]]
    assert {page.total for page in found} == {5001}


@pytest.mark.parametrize("size", [3, 7, 400])
async def test_pages_with_a_filter_miss_nothing_and_repeat_nothing(admin: Admin, engine: Engine, size: int) -> None:
    everyone = numbered(1000)
    put(engine, *(new_job(each, labels={"third": str(n % 3)}) for n, each in enumerate(everyone)))

    assert await walked(admin, listing(labels={"third": "0"}, size=size)) == everyone[::3]


@pytest.mark.parametrize(
    ("state", "newest_first"), [(JobState.WAITING, False), (JobState.DELAYED, True), (JobState.FAILED, True)]
)
async def test_of_20000_jobs_none_that_stays_is_missed_and_none_comes_twice(
    admin: Admin, clock: Clock, worker: Worker, state: JobState, *, newest_first: bool
) -> None:
    """Between two pages some go, also the one where the page before ended, and others come at either end."""
    roll = random.Random(7)
    there: set[str] = set()

    def come(name: str, count: int) -> None:
        jobs = numbered(count, name)
        place(worker, state, jobs)
        there.update(jobs)
        clock.advance(milliseconds=1)

    for n in range(20):
        come(f"old{n}", 1000)
    stayed = there.copy()
    seen: list[str] = []
    n = 0
    async for page in pages(admin, listing(state, size=500, newest_first=newest_first)):
        n += 1
        seen += ids(page)
        leaving = [*roll.sample(sorted(there), 60), *ids(page)[-1:]]
        worker.engine.run(remove(QUEUE, leaving))
        there.difference_update(leaving)
        come(f"new{n}", 60)

    stayed &= there
    assert len(stayed) > 15_000
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


async def test_a_job_that_fails_again_does_not_come_twice_in_a_list_from_the_newest(
    admin: Admin, clock: Clock, worker: Worker
) -> None:
    place(worker, JobState.FAILED, ["a", "b", "c"])
    clock.advance(timedelta(seconds=1))
    terms = listing(JobState.FAILED, size=2)
    first = await admin.jobs.page(terms)
    await admin.jobs.retry(QUEUE, first.jobs[0].id)
    worker.engine.run(failed(*worker.take()))

    second = await admin.jobs.page(terms, token=first.next_token)

    assert (ids(first), ids(second)) == (["c", "b"], ["a"])


class Meddled(AsyncEngine):
    """Something happens after every call."""

    def __init__(self, server: EmbeddedServer, clock: Clock, meddle: Callable[[], object]) -> None:
        super().__init__(Store.parse(server.url), clock=clock)
        self._meddle = meddle

    async def run(self, call: Call[T]) -> T:
        answer = await super().run(call)
        self._meddle()
        return answer


async def test_a_job_that_leaves_while_its_page_is_made_is_not_listed(
    valkey: EmbeddedServer, clock: Clock, worker: Worker
) -> None:
    """The places were found, and then a worker took the first job and an operator removed the second."""
    put(worker.engine, "a", "b", "c")

    def meddle() -> None:
        worker.take(1)
        worker.engine.run(remove(QUEUE, ["b"]))

    async with closing(Meddled(valkey, clock, meddle)) as engine:
        page = await listed(engine, listing(), "")

    assert ids(page) == ["c"]


async def test_a_page_is_made_of_two_calls(valkey: EmbeddedServer, clock: Clock, worker: Worker) -> None:
    put(worker.engine, *numbered(200))
    calls: list[None] = []

    async with closing(Meddled(valkey, clock, lambda: calls.append(None))) as engine:
        page = await listed(engine, listing(size=50), "")

    assert (len(page.jobs), len(calls)) == (50, 2)


@asynccontextmanager
async def closing(engine: Meddled) -> AsyncIterator[Meddled]:
    yield engine
    await engine.close()
