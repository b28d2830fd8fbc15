"""WatchJobs: every change is told once and in order, or the watcher is told that he missed some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import redis
from cabrank.v1 import job_pb2 as job
from cabrank.v1.queue_pb2 import (
    CancelJobRequest,
    EnqueueBatchRequest,
    EnqueueRequest,
    JobChange,
    SignalJobRequest,
    WatchJobsRequest,
    WatchJobsResponse,
)
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from server.dev.valkey import EmbeddedServer
from server.engine.async_engine import AsyncEngine
from server.engine.store import Store
from tests.conftest import raw_client
from tests.engine.hands import Worker, completed, snoozed
from tests.rpc.conftest import Door, frozen, opened
from tests.rpc.refusals import Refusal, refused
from tests.rpc.test_wait import until

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

    Call = grpc.aio.UnaryStreamCall[WatchJobsRequest, WatchJobsResponse]

EVENTS = "cabrank:{email}:events"
TASK = "email.welcome"


def welcome(job_id: str, **fields: Any) -> EnqueueRequest:
    return EnqueueRequest(task=TASK, payload_json='{"user_id":"u1","course_id":"c1"}', job_id=job_id, **fields)


def watch(**fields: Any) -> WatchJobsRequest:
    return WatchJobsRequest(queue="email", **fields)


class Watcher:
    """One watch that has begun, and what it tells."""

    def __init__(self, call: Call, cursor: str) -> None:
        self.call = call
        self.cursor = cursor  # of the last answer
        self.seen: list[JobChange] = []

    @classmethod
    async def begin(cls, queues: QueueServiceAsyncStub, **fields: Any) -> Watcher:
        call = queues.WatchJobs(watch(**fields))
        first = await asyncio.wait_for(_answer(call), 20)
        assert not first.changes
        return cls(call, first.cursor)

    async def read(self) -> list[JobChange]:
        """The next answer's changes. Raises AioRpcError, and EOFError at an end with OK."""
        answer = await asyncio.wait_for(_answer(self.call), 20)
        self.cursor = answer.cursor
        self.seen += answer.changes
        return list(answer.changes)

    async def until(self, last: str) -> list[str]:
        """All that was told up to the first change of the job `last`, as `one waiting`."""
        while last not in [change.job_id for change in self.seen]:
            await self.read()
        return told(self.seen)

    async def end(self) -> None:
        """Reads on until it ends with OK. Raises AioRpcError when it does not."""
        with suppress(EOFError):
            while True:
                await self.read()

    async def refusal(self) -> Refusal:
        """Reads on until it is refused."""
        return await refused(self.end())


async def _answer(call: Call) -> WatchJobsResponse:
    answer: Any = await call.read()
    if answer is grpc.aio.EOF:
        raise EOFError
    assert isinstance(answer, WatchJobsResponse)
    return answer


def told(changes: Sequence[JobChange]) -> list[str]:
    return [f"{each.job_id} {'gone' if each.removed else _word(each.state)}" for each in changes]


def _word(state: job.JobState.ValueType) -> str:
    return job.JobState.Name(state).removeprefix("JOB_STATE_").lower()


def tell(raw: redis.Redis, job_ids: Sequence[str], *, task: str = TASK) -> None:
    """News as the engine writes them, of 100 jobs each."""
    with raw.pipeline(transaction=False) as pipeline:
        for at in range(0, len(job_ids), 100):
            pipeline.xadd(EVENTS, {f"waiting {task}": " ".join(job_ids[at : at + 100])})
        pipeline.execute()


def calls(raw: redis.Redis, *commands: str) -> int:
    """How often Redis was asked for these."""
    stats: Any = raw.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in commands)


def listeners(raw: redis.Redis) -> int:
    clients: Any = raw.info("clients")
    return int(clients["blocked_clients"])


async def test_every_transition_is_told_in_order(
    queues: QueueServiceAsyncStub, worker: Worker, forget: Callable[[], None]
) -> None:
    watcher = await Watcher.begin(queues)

    await queues.Enqueue(welcome("one", delay=Duration(seconds=60)))
    await queues.SignalJob(SignalJobRequest(queue="email", job_id="one"))
    worker.engine.run(snoozed(worker.take_one()))
    await queues.SignalJob(SignalJobRequest(queue="email", job_id="one"))
    worker.engine.run(completed(worker.take_one()))
    await queues.Enqueue(welcome("two"))
    await queues.CancelJob(CancelJobRequest(queue="email", job_id="two"))
    forget()
    await queues.Enqueue(welcome("end"))

    assert await watcher.until("end") == [
        "one delayed",
        "one waiting",
        "one active",
        "one delayed",
        "one waiting",
        "one active",
        "one completed",
        "two waiting",
        "two cancelled",
        "one gone",
        "two gone",
        "end waiting",
    ]


async def test_a_change_tells_job_task_state_and_time(queues: QueueServiceAsyncStub) -> None:
    watcher = await Watcher.begin(queues)

    created = (await queues.Enqueue(welcome("one"))).job
    (change,) = await watcher.read()

    assert (change.job_id, change.task, change.state) == ("one", TASK, job.JOB_STATE_WAITING)
    assert not change.removed
    assert abs(change.time.ToMilliseconds() - created.create_time.ToMilliseconds()) < 1000


async def test_the_first_answer_comes_at_once_and_without_what_happened_before(queues: QueueServiceAsyncStub) -> None:
    """Also in a queue in which nothing has ever happened."""
    early = await Watcher.begin(queues)
    await queues.Enqueue(welcome("one"))
    late = await Watcher.begin(queues)
    await queues.Enqueue(welcome("two"))

    assert await early.until("two") == ["one waiting", "two waiting"]
    assert await late.until("two") == ["two waiting"]


async def test_a_cursor_goes_on_with_exactly_what_was_missed(queues: QueueServiceAsyncStub) -> None:
    """From any answer, also the first, and however often."""
    watcher = await Watcher.begin(queues)
    beginning = watcher.cursor
    await queues.Enqueue(welcome("one"))
    await watcher.until("one")
    watcher.call.cancel()
    for job_id in ("two", "three"):
        await queues.Enqueue(welcome(job_id))

    for cursor, missed in ((watcher.cursor, ["two", "three"]), (beginning, ["one", "two", "three"])):
        again = await Watcher.begin(queues, cursor=cursor)
        assert again.cursor == cursor
        assert await again.until("three") == [f"{job_id} waiting" for job_id in missed]


async def test_a_cursor_goes_on_over_many_pages(queues: QueueServiceAsyncStub) -> None:
    """Far more than one read brings, or than is kept for those who are a little behind."""
    watcher = await Watcher.begin(queues)
    watcher.call.cancel()
    job_ids = [f"job-{n}" for n in range(1000)]
    await asyncio.gather(*(queues.Enqueue(welcome(job_id)) for job_id in job_ids))
    await queues.Enqueue(welcome("end"))

    again = await Watcher.begin(queues, cursor=watcher.cursor)
    seen = await again.until("end")

    assert sorted(seen[:-1]) == sorted(f"{job_id} waiting" for job_id in job_ids)


async def test_a_page_of_the_longest_names_fits_into_an_answer(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """Clients take 4 MiB unless they are told otherwise."""
    watcher = await Watcher.begin(queues)
    tell(raw, [f"{n:0100d}" for n in range(12_000)], task="t" * 200)

    again = await Watcher.begin(queues, cursor=watcher.cursor)

    assert len(await again.read()) == 100 * 100


async def test_a_cursor_that_is_too_old_is_refused(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """Also when all that is gone is the change of the cursor itself: what else went with it, nobody knows."""
    watcher = await Watcher.begin(queues)
    await queues.Enqueue(welcome("one"))
    await queues.Enqueue(welcome("two"))
    raw.xtrim(EVENTS, maxlen=1, approximate=False)

    refusal = await refused(_answer(queues.WatchJobs(watch(cursor=watcher.cursor))))

    assert (refusal.code, refusal.reason) == (StatusCode.OUT_OF_RANGE, "EVENTS_LOST")


async def test_a_slow_reader_is_told_that_he_missed_some(
    door: Door, queues: QueueServiceAsyncStub, raw: redis.Redis
) -> None:
    """Until then he sees everything in order. That he does not read holds nobody up, and fills no memory here."""
    quick = await Watcher.begin(queues)
    job_ids = [f"{n:0100d}" for n in range(100_000)]
    # Without its probe, gRPC takes 64 KiB for a caller who does not read, and not megabytes.
    async with grpc.aio.insecure_channel(door.address, [("grpc.http2.bdp_probe", 0)]) as channel:
        slow = await Watcher.begin(QueueServiceStub(channel))
        tell(raw, job_ids)
        while len(quick.seen) < len(job_ids):
            await quick.read()
        raw.xtrim(EVENTS, maxlen=1, approximate=False)
        refusal = await slow.refusal()

    assert (refusal.code, refusal.reason) == (StatusCode.OUT_OF_RANGE, "EVENTS_LOST")
    assert [change.job_id for change in quick.seen] == job_ids
    assert 0 < len(slow.seen) < len(job_ids)
    assert [change.job_id for change in slow.seen] == job_ids[: len(slow.seen)]


@pytest.mark.parametrize(
    ("filter_", "seen"),
    [
        ({"task": TASK}, ["one waiting", "two waiting", "one active", "one completed"]),
        ({"task": "email.verification_code"}, ["code waiting"]),
        ({"states": [job.JOB_STATE_ACTIVE, job.JOB_STATE_COMPLETED]}, ["one active", "one completed"]),
        ({"job_ids": ["two", "code"]}, ["two waiting", "code waiting", "two gone"]),
        ({"job_ids": ["one", "two"], "states": [job.JOB_STATE_WAITING]}, ["one waiting", "two waiting"]),
    ],
)
async def test_only_what_was_asked_for_is_told(
    queues: QueueServiceAsyncStub, worker: Worker, raw: redis.Redis, filter_: Any, seen: list[str]
) -> None:
    """A job that is gone has neither task nor state any more."""
    watcher = await Watcher.begin(queues, **filter_)
    beginning = watcher.cursor

    await queues.EnqueueBatch(EnqueueBatchRequest(jobs=[welcome("one"), welcome("two")]))
    raw.xadd(EVENTS, {"waiting email.verification_code": "code"})
    worker.engine.run(completed(worker.take_one()))
    raw.xadd(EVENTS, {"gone ": "two"})
    while len(watcher.seen) < len(seen):
        await watcher.read()
    again = await Watcher.begin(queues, cursor=beginning, **filter_)
    while len(again.seen) < len(seen):
        await again.read()

    assert told(watcher.seen) == seen
    assert told(again.seen) == seen


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"queue": ""}, ("queue",)),
        ({"cursor": "yesterday"}, ("cursor",)),
        ({"cursor": "1-1 "}, ("cursor",)),
        ({"cursor": f"{2**64}-0"}, ("cursor",)),
        ({"states": [job.JOB_STATE_ACTIVE, job.JOB_STATE_UNSPECIFIED, 99]}, ("states[1]", "states[2]")),
        ({"states": [99] * 4_000_000}, ("states",)),
        ({"job_ids": ["one", "{two}"]}, ("job_ids[1]",)),
        ({"job_ids": ["one"] * 1001}, ("job_ids",)),
        ({"task": "a b"}, ("task",)),
        ({"task": "a b", "job_ids": [""], "states": [0]}, ("task", "states[0]", "job_ids[0]")),
    ],
)
async def test_what_is_wrong_is_named(queues: QueueServiceAsyncStub, fields: Any, wrong: tuple[str, ...]) -> None:
    refusal = await refused(_answer(queues.WatchJobs(WatchJobsRequest(**({"queue": "email"} | fields)))))

    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal.fields == wrong


async def test_a_queue_that_is_not_there_is_not_found(queues: QueueServiceAsyncStub) -> None:
    refusal = await refused(_answer(queues.WatchJobs(WatchJobsRequest(queue="emial"))))

    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")


async def test_a_thousand_idle_watchers_cost_what_one_costs(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """One connection listens, and Redis gets two commands a round, however many watch; then all of them are told."""
    watchers = await asyncio.gather(*(Watcher.begin(queues) for _ in range(1000)))
    await until(lambda: listeners(raw) == 1)
    # The last of them may still be taking their places.
    settled = calls(raw, "xread") + 2
    await until(lambda: calls(raw, "xread") >= settled)
    began, scripts = calls(raw, "xread"), calls(raw, "eval", "evalsha")

    await until(lambda: calls(raw, "xread") >= began + 6)

    assert listeners(raw) <= 1
    assert calls(raw, "eval", "evalsha") - scripts <= calls(raw, "xread") - began + 1
    await queues.Enqueue(welcome("one"))
    assert await asyncio.gather(*(watcher.until("one") for watcher in watchers)) == [["one waiting"]] * 1000


async def test_changes_that_were_not_asked_for_move_the_cursor_now_and_then(
    queues: QueueServiceAsyncStub, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every five seconds; shortened here. So who asks for little can go on as well as who asks for all."""
    monkeypatch.setattr("server.rpc.watch._CURSOR_SECONDS", 0.2)
    watcher = await Watcher.begin(queues, job_ids=["mine"])
    for n in range(20):
        await queues.Enqueue(welcome(f"other-{n}"))
    newest: Any = raw.xrevrange(EVENTS, count=1)

    while watcher.cursor != newest[0][0].decode():
        assert await watcher.read() == []


async def test_changes_that_were_not_asked_for_are_no_answers_of_their_own(
    queues: QueueServiceAsyncStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow this machine is: five seconds are a minute here."""
    monkeypatch.setattr("server.rpc.watch._CURSOR_SECONDS", 60.0)
    watcher = await Watcher.begin(queues, job_ids=["mine"])
    for n in range(20):
        await queues.Enqueue(welcome(f"other-{n}"))
    await queues.Enqueue(welcome("mine"))

    assert told(await watcher.read()) == ["mine waiting"]


async def test_who_leaves_leaves_nothing_behind(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """With the last watcher the reader goes as well, and it comes back with the next one."""
    watchers = [await Watcher.begin(queues) for _ in range(20)]
    await until(lambda: listeners(raw) == 1)
    for watcher in watchers:
        watcher.call.cancel()

    await until(lambda: listeners(raw) == 0)
    rounds = calls(raw, "xread", "evalsha")
    await queues.Enqueue(welcome("unseen"))  # one more
    back = await Watcher.begin(queues, cursor=watchers[0].cursor)  # and one more

    assert calls(raw, "xread", "evalsha") <= rounds + 5
    assert await back.until("unseen") == ["unseen waiting"]


async def test_a_stop_ends_every_watch_with_ok(door: Door, queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """At once, and not when the grace is over."""
    watchers = [await Watcher.begin(queues) for _ in range(20)]
    await until(lambda: listeners(raw) == 1)

    async with asyncio.timeout(10):
        await door.server.stop(timedelta(seconds=60))
        await asyncio.gather(*(watcher.end() for watcher in watchers))

    assert {code for _, code, _ in door.observed} == {"OK"}


async def test_a_watch_ends_with_ok_after_a_while(
    queues: QueueServiceAsyncStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour; shortened here."""
    monkeypatch.setattr("server.rpc.watch.LONGEST_WATCH", 0.2)

    await (await Watcher.begin(queues)).end()


async def test_an_emptied_redis_is_told(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """Without waiting for the next change: all jobs are gone, and nobody would tell of them one by one."""
    watchers = [await Watcher.begin(queues) for _ in range(3)]
    await until(lambda: listeners(raw) == 1)
    raw.flushall()

    refusals = await asyncio.gather(*(watcher.refusal() for watcher in watchers))

    assert {(refusal.code, refusal.reason) for refusal in refusals} == {(StatusCode.OUT_OF_RANGE, "EVENTS_LOST")}


async def test_without_redis_watchers_are_told_and_go_on_later(
    queues: QueueServiceAsyncStub, raw: redis.Redis, valkey: EmbeddedServer
) -> None:
    watchers = [await Watcher.begin(queues) for _ in range(100)]
    await queues.Enqueue(welcome("one"))
    await asyncio.gather(*(watcher.until("one") for watcher in watchers))

    with frozen(valkey):
        refusals = await asyncio.gather(*(watcher.refusal() for watcher in watchers))
    await queues.Enqueue(welcome("two"))
    back = await Watcher.begin(queues, cursor=watchers[0].cursor)

    assert {(each.code, each.reason) for each in refusals} == {(StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")}
    assert await back.until("two") == ["two waiting"]


async def test_a_connection_that_breaks_is_not_noticed(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    watcher = await Watcher.begin(queues)
    await until(lambda: listeners(raw) == 1)
    raw.client_kill_filter(_type="normal", skipme=True)
    await queues.Enqueue(welcome("one"))

    assert await watcher.until("one") == ["one waiting"]


async def test_a_caller_without_asyncio_watches_as_well(door: Door, queues: QueueServiceAsyncStub) -> None:
    cursor = (await Watcher.begin(queues)).cursor
    for job_id in ("one", "two", "end"):
        await queues.Enqueue(welcome(job_id))

    def watch_with_threads() -> list[str]:
        with grpc.insecure_channel(door.address) as channel:
            seen: list[JobChange] = []
            for answer in QueueServiceStub(channel).WatchJobs(watch(cursor=cursor), timeout=30):
                seen += answer.changes
                if "end" in [change.job_id for change in seen]:
                    break
            return told(seen)

    assert await asyncio.to_thread(watch_with_threads) == ["one waiting", "two waiting", "end waiting"]


async def test_each_of_many_sees_every_change_once_and_in_order(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    """1,000 changes as fast as they come, seen by 50 watchers, of whom every second one leaves and comes back with
    every answer.
    """

    async def steady(watcher: Watcher) -> list[str]:
        return await watcher.until("end")

    async def restless(watcher: Watcher) -> list[str]:
        seen: list[JobChange] = []
        while "end" not in [change.job_id for change in seen]:
            seen += await watcher.read()
            watcher.call.cancel()
            watcher = await Watcher.begin(queues, cursor=watcher.cursor)
        return told(seen)

    watchers = [await Watcher.begin(queues) for _ in range(50)]
    kinds: list[Callable[[Watcher], Awaitable[list[str]]]] = [steady, restless] * 25
    all_seen = asyncio.gather(*(kind(watcher) for kind, watcher in zip(kinds, watchers, strict=True)))
    changes = await _changes(queues, worker, jobs=333)
    await queues.Enqueue(welcome("end"))

    for seen in await asyncio.wait_for(all_seen, 60):
        assert seen == [*changes, "end waiting"]


async def _changes(queues: QueueServiceAsyncStub, worker: Worker, *, jobs: int) -> list[str]:
    """Takes jobs through their lives, one after the other; what there was to see of it."""
    for n in range(jobs):
        await queues.Enqueue(welcome(f"job-{n}"))
        await asyncio.to_thread(lambda: worker.engine.run(completed(worker.take_one())))
    return [f"job-{n} {state}" for n in range(jobs) for state in ("waiting", "active", "completed")]


@pytest.fixture
async def anywhere(server: EmbeddedServer) -> AsyncIterator[QueueServiceAsyncStub]:
    """A service on each kind of Redis."""
    engine = AsyncEngine(Store.parse(server.url), timeout=1.0)
    async with opened(engine) as door, grpc.aio.insecure_channel(door.address) as channel:
        yield QueueServiceStub(channel)
    await engine.close()


async def test_every_kind_of_redis_tells_of_changes(anywhere: QueueServiceAsyncStub, server: EmbeddedServer) -> None:
    """One at a time, so that each is waited for."""
    watcher = await Watcher.begin(anywhere)
    with raw_client(server) as raw:
        for n in range(5):
            await until(lambda: listeners(raw) == 1)
            await anywhere.Enqueue(welcome(f"job-{n}"))
            await watcher.until(f"job-{n}")

    assert told(watcher.seen) == [f"job-{n} waiting" for n in range(5)]
