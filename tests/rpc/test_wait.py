"""WaitJob: the answer comes when the job has ended, or when the time is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cabrank.v1 import job_pb2
from cabrank.v1.queue_pb2 import CancelJobRequest, EnqueueRequest, WaitJobRequest
from grpc import StatusCode

from server.dev.valkey import EmbeddedServer
from server.rpc.wait import LONGEST_WAIT, USUAL_WAIT, patience
from tests.engine.hands import Worker, completed, failed
from tests.rpc.conftest import Door, frozen
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub


def welcome(job_id: str) -> EnqueueRequest:
    return EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}', job_id=job_id)


def wait_for(job_id: str, seconds: float | None = None) -> WaitJobRequest:
    request = WaitJobRequest(queue="email", job_id=job_id)
    if seconds is not None:
        request.timeout.FromTimedelta(timedelta(seconds=seconds))
    return request


def looks(raw: redis.Redis) -> int:
    """How many scripts Redis has run."""
    stats: Any = raw.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- it comes true in Redis, which sets no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("settle", "state"), [(completed, "COMPLETED"), (failed, "FAILED")])
async def test_the_answer_comes_with_the_end_of_the_job(
    queues: QueueServiceAsyncStub, worker: Worker, settle: Any, state: str
) -> None:
    await queues.Enqueue(welcome("one"))
    waiting = asyncio.ensure_future(queues.WaitJob(wait_for("one")))
    leased = await asyncio.to_thread(worker.take_one)
    assert not waiting.done()

    await asyncio.to_thread(worker.engine.run, settle(leased))
    answer = await asyncio.wait_for(waiting, 5)

    assert answer.done
    assert answer.job.state == job_pb2.JobState.Value(f"JOB_STATE_{state}")


async def test_a_job_that_has_ended_is_answered_at_once(queues: QueueServiceAsyncStub) -> None:
    await queues.Enqueue(welcome("one"))
    await queues.CancelJob(CancelJobRequest(queue="email", job_id="one"))

    answer = await queues.WaitJob(wait_for("one"), timeout=5)

    assert (answer.done, answer.job.state) == (True, job_pb2.JOB_STATE_CANCELLED)


async def test_when_the_time_is_up_the_answer_is_no_error(queues: QueueServiceAsyncStub) -> None:
    """Neither by the request's timeout nor by the deadline of the call."""
    await queues.Enqueue(welcome("one"))

    asked = await queues.WaitJob(wait_for("one", seconds=0.05), timeout=10)
    bounded = await queues.WaitJob(wait_for("one"), timeout=0.5)
    at_once = await queues.WaitJob(wait_for("one", seconds=0))

    for answer in (asked, bounded, at_once):
        assert not answer.done
        assert answer.job.state == job_pb2.JOB_STATE_WAITING


async def test_a_job_that_is_not_there_is_not_found(
    queues: QueueServiceAsyncStub, worker: Worker, forget: Callable[[], None]
) -> None:
    """Neither before nor when it is removed meanwhile."""
    refusal = await refused(queues.WaitJob(wait_for("one"), timeout=5))
    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "JOB_NOT_FOUND")

    await queues.Enqueue(welcome("two"))
    worker.engine.run(completed(worker.take_one()))
    forget()
    assert (await refused(queues.WaitJob(wait_for("two"), timeout=5))).reason == "JOB_NOT_FOUND"


async def test_many_who_wait_cost_one_look(queues: QueueServiceAsyncStub, worker: Worker, raw: redis.Redis) -> None:
    """200 callers wait for 100 jobs; while they do, Redis is asked as often as for a single one."""
    for n in range(100):
        await queues.Enqueue(welcome(f"job-{n}"))
    waiting = [asyncio.ensure_future(queues.WaitJob(wait_for(f"job-{n % 100}"), timeout=30)) for n in range(200)]
    before = looks(raw)
    await until(lambda: looks(raw) >= before + 5)

    began, at_start = time.monotonic(), looks(raw)
    await until(lambda: looks(raw) >= at_start + 10)
    elapsed = time.monotonic() - began
    worker.engine.run(completed(*worker.take()))
    answers = await asyncio.gather(*waiting)

    assert elapsed >= 9 * 0.025
    assert all(answer.done for answer in answers)


async def test_nobody_waiting_means_no_load(queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """Also after callers who left without waiting for the end."""
    await queues.Enqueue(welcome("one"))
    calls = [queues.WaitJob(wait_for("one"), timeout=30) for _ in range(20)]
    before = looks(raw)
    await until(lambda: looks(raw) >= before + 3)

    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    async def quiet() -> bool:
        seen = looks(raw)
        await asyncio.sleep(10 * 0.025)  # ten looks of a poller that goes on
        return looks(raw) == seen

    async with asyncio.timeout(10):
        while not await quiet():
            pass


async def test_a_stop_answers_those_who_wait(door: Door, queues: QueueServiceAsyncStub, raw: redis.Redis) -> None:
    """At once, and not when the grace is over."""
    await queues.Enqueue(welcome("one"))
    waiting = [asyncio.ensure_future(queues.WaitJob(wait_for("one"), timeout=30)) for _ in range(10)]
    before = looks(raw)
    await until(lambda: looks(raw) >= before + 2)

    async with asyncio.timeout(10):
        await door.server.stop(timedelta(seconds=30))

    assert [answer.done for answer in await asyncio.gather(*waiting)] == [False] * 10


async def test_without_redis_those_who_wait_are_told(
    queues: QueueServiceAsyncStub, raw: redis.Redis, valkey: EmbeddedServer
) -> None:
    await queues.Enqueue(welcome("one"))
    waiting = asyncio.ensure_future(refused(queues.WaitJob(wait_for("one"), timeout=30)))
    before = looks(raw)
    await until(lambda: looks(raw) >= before + 2)

    with frozen(valkey):
        refusal = await asyncio.wait_for(waiting, 10)

    assert (refusal.code, refusal.reason) == (StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")


def test_patience() -> None:
    """As long as asked and as the deadline allows, with a tenth of it, at most half a second, for the way back."""
    minute = timedelta(minutes=1)

    assert patience(None, left=None) == USUAL_WAIT
    assert patience(minute, left=None) == 60
    assert patience(2 * minute, left=None) == LONGEST_WAIT
    assert patience(None, left=30) == 29.5
    assert patience(None, left=1) == pytest.approx(0.9)
    assert patience(None, left=3600) == LONGEST_WAIT
    assert patience(timedelta(seconds=2), left=30) == 2
    assert patience(minute, left=30) == 29.5
