"""Around every rpc: deadlines, faults of our own, one line in the log, one observation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import redis
from cabrank.v1.queue_pb2 import (
    EnqueueRequest,
    GetJobRequest,
    GetJobResponse,
    WaitJobRequest,
    WatchJobsRequest,
    WatchJobsResponse,
)
from cabrank.v1.queue_pb2_grpc import QueueServiceServicer, QueueServiceStub, add_QueueServiceServicer_to_server
from grpc import StatusCode
from structlog.testing import capture_logs

from server.dev.valkey import EmbeddedServer
from server.engine.errors import EventsLost
from server.engine.job import JobState
from server.engine.look import stats
from server.rpc.reception import Context, Reception
from tests.engine.hands import Worker
from tests.rpc.conftest import Door, frozen
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

GET = "cabrank.v1.QueueService/GetJob"
WATCH = "cabrank.v1.QueueService/WatchJobs"
WELCOME = EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}')
MISSING = GetJobRequest(queue="email", job_id="missing")

Behaviour = Callable[[Context], Any]


class Stage:
    """Behind the real Reception: a GetJob that does what a test wants, a WatchJobs that does it between two answers."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = lambda _context: asyncio.sleep(0)
        self.observed: list[tuple[str, str, float]] = []

    async def get_job(self, _request: GetJobRequest, context: Context) -> GetJobResponse:
        await self.behaviour(context)
        return GetJobResponse()

    async def watch_jobs(self, _request: WatchJobsRequest, context: Context) -> AsyncIterator[WatchJobsResponse]:
        yield WatchJobsResponse(cursor="first")
        await self.behaviour(context)
        yield WatchJobsResponse(cursor="second")


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def staged(stage: Stage) -> AsyncIterator[QueueServiceAsyncStub]:
    rpcs = {
        "GetJob": lambda _self, *args: stage.get_job(*args),
        "WatchJobs": lambda _self, *args: stage.watch_jobs(*args),
    }
    servicer = type("Servicer", (QueueServiceServicer,), rpcs)
    reception = Reception(lambda *observation: stage.observed.append(observation))
    server = grpc.aio.server(interceptors=[reception])
    add_QueueServiceServicer_to_server(servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield QueueServiceStub(channel)
    await server.stop(0)


async def test_a_fault_of_ours_hides_the_inside(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    """The caller gets an id; the log has the same id, and the traceback with it."""

    async def broken(_context: Context) -> None:
        raise RuntimeError("redis://user:password@10.0.0.1 lost key cabrank:{email}:jobs")

    stage.behaviour = broken
    with capture_logs() as logged:
        refusal = await refused(staged.GetJob(MISSING))

    assert (refusal.code, refusal.reason, refusal.domain) == (StatusCode.INTERNAL, "INTERNAL", "cabrank")
    assert not any(word in refusal.message for word in ("redis", "password", "cabrank:", "RuntimeError"))
    (line,) = logged
    assert line["log_level"] == "error"
    assert refusal.metadata == {"correlation_id": line["correlation_id"]}
    assert line["correlation_id"] in refusal.message
    assert isinstance(line["exc_info"], RuntimeError)


async def test_what_cannot_be_read_of_a_job_is_a_fault_of_ours(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    job = (await queues.Enqueue(WELCOME)).job
    raw.hset("cabrank:{email}:progress", job.id, "cabrank:{email} is not what it was")

    refusal = await refused(queues.GetJob(GetJobRequest(queue="email", job_id=job.id)))

    assert (refusal.code, refusal.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert "cabrank:" not in refusal.message


async def test_a_handler_sees_the_callers_deadline_and_is_bounded_by_it(
    staged: QueueServiceAsyncStub, stage: Stage
) -> None:
    ended = asyncio.Event()

    async def endless(context: Context) -> None:
        assert 0 < context.time_remaining() <= 0.3
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stage.behaviour = endless
    refusal = await refused(staged.GetJob(MISSING, timeout=0.3))
    await asyncio.wait_for(ended.wait(), 5)
    await asyncio.wait_for(until_observed(stage), 5)

    # Both sides watch the same deadline: where the caller is first, the server sees a call that was cancelled.
    assert refusal.code in (StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED)
    assert [code for _, code, _ in stage.observed] in (["DEADLINE_EXCEEDED"], ["CANCELLED"])


async def test_without_a_deadline_a_call_gets_one(
    staged: QueueServiceAsyncStub, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds; shortened here."""
    monkeypatch.setattr("server.rpc.reception.USUAL_SECONDS", 0.1)
    stage.behaviour = lambda _context: asyncio.Event().wait()

    refusal = await refused(staged.GetJob(MISSING))

    assert refusal.code == StatusCode.DEADLINE_EXCEEDED
    assert [code for _, code, _ in stage.observed] == ["DEADLINE_EXCEEDED"]


async def test_with_no_time_left_nothing_is_begun(
    staged: QueueServiceAsyncStub, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least time is 5 ms, too short to hit from outside; raised here."""
    monkeypatch.setattr("server.rpc.reception._LEAST_SECONDS", 30.0)
    begun = []

    async def note(_context: Context) -> None:
        begun.append(True)

    stage.behaviour = note
    refusal = await refused(staged.GetJob(MISSING, timeout=20))

    assert refusal.code == StatusCode.DEADLINE_EXCEEDED
    assert not begun


async def test_a_caller_who_leaves_ends_the_call(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    begun = asyncio.Event()

    async def endless(_context: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    stage.behaviour = endless
    call = staged.GetJob(MISSING, timeout=60)
    left = asyncio.ensure_future(call)
    await asyncio.wait_for(begun.wait(), 5)
    call.cancel()
    await asyncio.gather(left, return_exceptions=True)
    await asyncio.wait_for(until_observed(stage), 5)

    assert [code for _, code, _ in stage.observed] == ["CANCELLED"]


async def until_observed(stage: Stage) -> None:
    while not stage.observed:  # noqa: ASYNC110 -- the server notes it when it has noticed, without an event
        await asyncio.sleep(0.005)


async def test_every_call_is_observed_with_its_code(door: Door, queues: QueueServiceAsyncStub) -> None:
    await queues.Enqueue(WELCOME)
    await refused(queues.GetJob(MISSING))
    await refused(queues.Enqueue(EnqueueRequest()))

    assert [(method, code) for method, code, _ in door.observed] == [
        ("cabrank.v1.QueueService/Enqueue", "OK"),
        (GET, "NOT_FOUND"),
        ("cabrank.v1.QueueService/Enqueue", "INVALID_ARGUMENT"),
    ]
    assert all(0 < seconds < 10 for _, _, seconds in door.observed)


async def test_every_call_is_one_line_in_the_log(queues: QueueServiceAsyncStub) -> None:
    """Good ones for those who debug; what callers did wrong as it is; never a payload."""
    with capture_logs() as logged:
        await queues.Enqueue(WELCOME)
        await refused(queues.GetJob(MISSING))

    assert [(line["event"], line["log_level"], line["code"]) for line in logged] == [
        ("rpc", "debug", "OK"),
        ("rpc", "info", "NOT_FOUND"),
    ]
    assert "u1" not in repr(logged)


async def test_without_redis_a_call_is_refused_soon(queues: QueueServiceAsyncStub, valkey: EmbeddedServer) -> None:
    """With a hint when to try again; and it goes on by itself when Redis is back."""
    await queues.Enqueue(WELCOME)
    with frozen(valkey), capture_logs() as logged:
        began = time.monotonic()
        refusal = await refused(queues.Enqueue(WELCOME))
        elapsed = time.monotonic() - began

    assert (refusal.code, refusal.reason) == (StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert refusal.again_in is not None
    assert elapsed < 5
    assert logged[0]["log_level"] == "warning"
    assert (await queues.Enqueue(WELCOME, timeout=10)).created


async def test_a_short_deadline_is_kept_when_redis_is_slow(
    door: Door, queues: QueueServiceAsyncStub, valkey: EmbeddedServer
) -> None:
    """The server gives such calls up as well, and its connections are as good as before."""
    await queues.Enqueue(WELCOME)
    with frozen(valkey):
        refusals = await asyncio.gather(*(refused(queues.GetJob(MISSING, timeout=0.05)) for _ in range(100)))
    found = await asyncio.gather(*(refused(queues.GetJob(MISSING, timeout=10)) for _ in range(100)))

    # Both sides watch the same deadline: where the caller is first, the server sees a call that was cancelled.
    assert {refusal.code for refusal in refusals} <= {StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED}
    assert {refusal.reason for refusal in found} == {"JOB_NOT_FOUND"}
    assert {code for _, code, _ in door.observed} <= {"OK", "DEADLINE_EXCEEDED", "CANCELLED", "NOT_FOUND"}


async def test_when_redis_is_full_a_job_is_refused_and_others_go_on(
    queues: QueueServiceAsyncStub, raw: redis.Redis, worker: Worker
) -> None:
    job = (await queues.Enqueue(WELCOME)).job
    raw.config_set("maxmemory", "1")
    try:
        refusal = await refused(queues.Enqueue(WELCOME))
        await queues.GetJob(GetJobRequest(queue="email", job_id=job.id))
        await queues.WaitJob(WaitJobRequest(queue="email", job_id=job.id), timeout=0.2)
    finally:
        raw.config_set("maxmemory", "0")

    assert (refusal.code, refusal.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MEMORY_FULL")
    assert refusal.again_in is not None
    assert worker.engine.run(stats("email"))[JobState.WAITING] == 1


async def cursors(call: Any) -> list[str]:
    """What a stream tells, to its end."""
    seen = []
    while (answer := await asyncio.wait_for(call.read(), 10)) is not grpc.aio.EOF:
        seen.append(answer.cursor)
    return seen


async def begun(staged: QueueServiceAsyncStub, **options: Any) -> Any:
    """A stream that has told its first answer."""
    call: Any = staged.WatchJobs(WatchJobsRequest(), **options)
    assert (await asyncio.wait_for(call.read(), 10)).cursor == "first"
    return call


async def test_a_stream_is_one_line_in_the_log_and_one_observation(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    """At its end. What is observed is the time to its first answer: how long it stays open is no latency."""
    stage.behaviour = lambda _context: asyncio.sleep(0.3)
    with capture_logs() as logged:
        call = await begun(staged)
        assert (logged, stage.observed) == ([], [])
        assert await cursors(call) == ["second"]
        await asyncio.wait_for(until_observed(stage), 5)

    ((method, code, seconds),) = stage.observed
    (line,) = logged
    assert (method, code) == (WATCH, "OK")
    assert (line["event"], line["log_level"], line["method"], line["code"]) == ("rpc", "debug", WATCH, "OK")
    assert 0 < seconds <= line["ms"] / 1000 - 0.29


async def test_a_fault_of_ours_in_midstream_hides_the_inside(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    async def broken(_context: Context) -> None:
        raise RuntimeError("redis://user:password@10.0.0.1")

    stage.behaviour = broken
    with capture_logs() as logged:
        call = await begun(staged)
        refusal = await refused(cursors(call))

    assert (refusal.code, refusal.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert "password" not in refusal.message
    (line,) = logged
    assert refusal.metadata == {"correlation_id": line["correlation_id"]}
    assert isinstance(line["exc_info"], RuntimeError)
    assert [code for _, code, _ in stage.observed] == ["INTERNAL"]


async def test_a_refusal_in_midstream_is_told_by_the_table(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    async def lost(_context: Context) -> None:
        raise EventsLost("email")

    stage.behaviour = lost
    call = await begun(staged)

    refusal = await refused(cursors(call))

    assert (refusal.code, refusal.reason) == (StatusCode.OUT_OF_RANGE, "EVENTS_LOST")


async def test_bytes_that_are_no_message_open_no_stream(channel: grpc.aio.Channel) -> None:
    stream: Any = channel.unary_stream(f"/{WATCH}")

    refusal = await refused(stream(b"\xff\xff\xff").read())

    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_stream_without_a_deadline_gets_none(
    staged: QueueServiceAsyncStub, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a call would get is shortened here, to less than what this one takes."""
    monkeypatch.setattr("server.rpc.reception.USUAL_SECONDS", 0.01)
    stage.behaviour = lambda _context: asyncio.sleep(0.1)

    assert await cursors(staged.WatchJobs(WatchJobsRequest())) == ["first", "second"]


async def test_a_deadline_ends_a_stream(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    ended = asyncio.Event()

    async def endless(context: Context) -> None:
        assert 0 < context.time_remaining() <= 0.3
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stage.behaviour = endless
    refusal = await refused(cursors(staged.WatchJobs(WatchJobsRequest(), timeout=0.3)))
    await asyncio.wait_for(ended.wait(), 5)
    await asyncio.wait_for(until_observed(stage), 5)

    # Both sides watch the same deadline: where the caller is first, the server sees a call that was cancelled.
    assert refusal.code in (StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED)
    assert [code for _, code, _ in stage.observed] in (["DEADLINE_EXCEEDED"], ["CANCELLED"])


async def test_a_caller_who_leaves_ends_his_stream(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def endless(_context: Context) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stage.behaviour = endless
    call = await begun(staged)
    await asyncio.wait_for(entered.wait(), 5)
    call.cancel()
    await asyncio.wait_for(ended.wait(), 5)
    await asyncio.wait_for(until_observed(stage), 5)

    assert [code for _, code, _ in stage.observed] == ["CANCELLED"]


async def test_an_answer_to_a_caller_who_has_left_is_no_fault(staged: QueueServiceAsyncStub, stage: Stage) -> None:
    """gRPC fails the write, at times before it cancels the call."""
    calls = [staged.WatchJobs(WatchJobsRequest()) for _ in range(200)]
    with capture_logs() as logged:
        for call in calls:
            await call.wait_for_connection()
            call.cancel()
        assert await cursors(staged.WatchJobs(WatchJobsRequest())) == ["first", "second"]

    assert {line["code"] for line in logged} <= {"OK", "CANCELLED"}
