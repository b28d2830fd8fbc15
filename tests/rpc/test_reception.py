"""Around every rpc: deadlines, faults of our own, one line in the log, one observation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import redis
from cabrank.v1.queue_pb2 import EnqueueRequest, GetJobRequest, GetJobResponse, WaitJobRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceServicer, QueueServiceStub, add_QueueServiceServicer_to_server
from grpc import StatusCode
from structlog.testing import capture_logs

from server.dev.valkey import EmbeddedServer
from server.engine.job import JobState
from server.engine.steer import counts
from server.rpc.reception import Context, Reception
from tests.engine.hands import Worker
from tests.rpc.conftest import Door, frozen
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

GET = "cabrank.v1.QueueService/GetJob"
WELCOME = EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}')
MISSING = GetJobRequest(queue="email", job_id="missing")

Behaviour = Callable[[Context], Any]


class Stage:
    """A server whose GetJob does what a test wants, behind the real Reception."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = lambda _context: None
        self.observed: list[tuple[str, str, float]] = []

    async def get_job(self, _request: GetJobRequest, context: Context) -> GetJobResponse:
        await self.behaviour(context)
        return GetJobResponse()


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def staged(stage: Stage) -> AsyncIterator[QueueServiceAsyncStub]:
    servicer = type("Servicer", (QueueServiceServicer,), {"GetJob": lambda _self, *args: stage.get_job(*args)})
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


async def test_a_record_that_cannot_be_read_is_a_fault_of_ours(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    job = (await queues.Enqueue(WELCOME)).job
    raw.hset("cabrank:{email}:jobs", job.id, "cabrank:{email} is not what it was")

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
    monkeypatch.setattr("server.rpc.reception._USUAL_SECONDS", 0.1)
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
    assert worker.engine.run(counts("email"))[JobState.WAITING] == 1
