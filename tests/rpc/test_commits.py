"""A caller may leave; what he asked Redis to do is done, and nobody gets another's answer."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import redis
from cabrank.v1.queue_pb2 import EnqueueRequest, EnqueueResponse
from cabrank.v1.queue_pb2_grpc import QueueServiceStub

from server.dev.valkey import EmbeddedServer
from server.engine.admit import enqueue
from server.engine.async_engine import AsyncEngine
from server.engine.call import Call
from server.engine.commits import Commits
from server.engine.job import JobState
from server.engine.look import stats
from server.engine.store import Store
from tests.conftest import raw_client
from tests.engine.hands import Worker, new_job
from tests.rpc.conftest import Door, frozen, opened
from tests.rpc.refusals import outcome

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub


def welcome(job_id: str) -> EnqueueRequest:
    return EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}', job_id=job_id)


def waiting(worker: Worker) -> int:
    return worker.engine.run(stats("email"))[JobState.WAITING]


async def test_a_write_goes_on_when_its_caller_has_left(
    redis_engine: AsyncEngine, valkey: EmbeddedServer, worker: Worker
) -> None:
    commits = Commits(redis_engine)
    await commits.run(enqueue("email", [new_job("warm")]))
    with frozen(valkey):
        asked = asyncio.create_task(commits.run(enqueue("email", [new_job("one")])))
        await asyncio.sleep(0)  # it is under way
        asked.cancel()
        await asyncio.wait([asked])
    await commits.drain()

    assert asked.cancelled()
    assert waiting(worker) == 2


async def test_what_fails_after_its_caller_has_left_is_nobodys_error(
    redis_engine: AsyncEngine, valkey: EmbeddedServer
) -> None:
    """asyncio reports every exception that was never looked at; there would be one for each caller in an outage."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    commits = Commits(redis_engine)
    await commits.run(enqueue("email", [new_job("warm")]))
    with frozen(valkey):
        asked = asyncio.create_task(commits.run(enqueue("email", [new_job("one")])))
        await asyncio.sleep(0)
        asked.cancel()
        await commits.drain()
    assert asked.cancelled()
    del asked  # its frames hold the command
    gc.collect()

    assert reported == []


class Watched(AsyncEngine):
    """Knows how many commands are on their way."""

    on_their_way = 0

    async def run(self, call: Call[Any]) -> Any:
        self.on_their_way += 1
        try:
            return await super().run(call)
        finally:
            self.on_their_way -= 1


async def test_a_stop_waits_for_what_was_begun(valkey: EmbeddedServer) -> None:
    """The caller is cut off when the grace is over, the command is not: what the server stands on is closed next."""
    engine = Watched(Store.parse(valkey.url), timeout=1.0)
    async with opened(engine) as door, grpc.aio.insecure_channel(door.address) as channel:
        queues: QueueServiceAsyncStub = QueueServiceStub(channel)
        await queues.Enqueue(welcome("warm"))
        with frozen(valkey):
            asked = asyncio.ensure_future(outcome(queues.Enqueue(welcome("one"), timeout=10)))
            async with asyncio.timeout(10):
                while not engine.on_their_way:  # noqa: ASYNC110 -- what is counted sets no event
                    await asyncio.sleep(0.001)
            await door.server.stop(timedelta(0))
            left = engine.on_their_way

        assert left == 0
        assert await asked in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    await engine.close()


async def test_no_caller_gets_the_answer_of_another(door: Door, queues: QueueServiceAsyncStub, worker: Worker) -> None:
    """3,000 calls, 64 at a time, half of which may end by their deadline in the midst of the work."""
    dice, turn = random.Random(7), asyncio.Semaphore(64)
    answered: list[tuple[str, EnqueueResponse]] = []
    ended: set[grpc.StatusCode] = set()

    async def ask(job_id: str) -> None:
        async with turn:
            got = await outcome(queues.Enqueue(welcome(job_id), timeout=dice.choice((dice.uniform(0.0005, 0.1), 10))))
        if isinstance(got, grpc.StatusCode):
            ended.add(got)
        else:
            answered.append((job_id, got))

    await asyncio.gather(*(ask(f"job-{n}") for n in range(3000)))
    await door.server.stop(timedelta(seconds=10))

    assert all(answer.job.id == job_id and answer.created for job_id, answer in answered)
    # UNAVAILABLE: the deadline passed while the refusal was on its way.
    assert ended <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
    assert 0 < len(answered) <= waiting(worker)
    assert len(answered) < 3000


async def test_a_stop_loses_nothing_that_was_accepted(door: Door, worker: Worker) -> None:
    """Calls keep coming from 8 connections while the server stops: each is answered and stored, or refused."""
    accepted: set[str] = set()

    async def ask_until_refused(caller: int) -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(door.address) as channel:
            for n in itertools.count():
                got = await outcome(QueueServiceStub(channel).Enqueue(welcome(f"{caller}-{n}"), timeout=10))
                if isinstance(got, grpc.StatusCode):
                    return got
                accepted.add(got.job.id)
        raise AssertionError

    callers = [asyncio.create_task(ask_until_refused(caller)) for caller in range(8)]
    async with asyncio.timeout(30):
        while len(accepted) < 200:  # noqa: ASYNC110 -- what is counted sets no event
            await asyncio.sleep(0.005)
        await door.server.stop(timedelta(seconds=10))
        ended = await asyncio.gather(*callers)

    assert set(ended) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert accepted <= ids_of(worker)


def ids_of(worker: Worker) -> set[str]:
    taken: set[str] = set()
    while jobs := worker.take(1000):
        taken |= {job.request.id for job in jobs}
    return taken


async def test_connections_are_bounded_however_many_call(
    door: Door, queues: QueueServiceAsyncStub, valkey: EmbeddedServer
) -> None:
    await asyncio.gather(*(queues.Enqueue(welcome(f"job-{n}")) for n in range(1000)))

    with raw_client(valkey) as client:
        assert isinstance(client, redis.Redis)
        assert len(client.client_list()) <= 64 + 5
