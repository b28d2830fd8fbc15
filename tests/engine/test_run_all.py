"""Several calls in one round trip, and what they tell of the memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from server.dev.valkey import EmbeddedServer
from server.engine.admit import Enqueued, enqueue, get, states
from server.engine.async_engine import AsyncEngine
from server.engine.call import Call
from server.engine.errors import BackendFull, BackendUnavailable, JobNotFound
from server.engine.job import JobState
from server.engine.look import Stats, stats
from server.engine.memory import Memory
from server.engine.store import Store
from tests.conftest import raw_client
from tests.engine.hands import QUEUE, new_job
from tests.engine.test_engine import TOO_NEW, answering
from tests.engine.traffic import reads


@pytest.fixture
async def engine(store: Store) -> AsyncIterator[AsyncEngine]:
    engine = AsyncEngine(store)
    yield engine
    await engine.close()


async def test_several_calls_are_answered_in_their_order(engine: AsyncEngine) -> None:
    added, found = await engine.run_all([enqueue(QUEUE, [new_job()]), stats("sync")])

    assert isinstance(added[0], Enqueued)
    assert isinstance(found, Stats)


async def test_none_at_all_are_answered_too(engine: AsyncEngine) -> None:
    assert await engine.run_all([]) == []


async def test_one_refusal_among_several_calls_is_raised(engine: AsyncEngine) -> None:
    with pytest.raises(JobNotFound):
        await engine.run_all([stats(QUEUE), get(QUEUE, "nobody"), stats(QUEUE)])


@pytest.mark.parametrize(
    ("error", "meaning"), [("LOADING Redis is loading", BackendUnavailable), ("OOM no memory is left", BackendFull)]
)
async def test_an_error_of_one_call_means_what_it_does_alone(
    engine: AsyncEngine, error: str, meaning: type[Exception]
) -> None:
    with pytest.raises(meaning):
        await engine.run_all([stats(QUEUE), answering(error), stats(QUEUE)])

    assert await engine.run_all([stats(QUEUE)])  # and no answer of before is in its way


async def test_scripts_that_the_server_does_not_know_are_brought_along(engine: AsyncEngine, raw: redis.Redis) -> None:
    await engine.run(stats(QUEUE))
    raw.script_flush()

    first, added, second = await engine.run_all([stats(QUEUE), enqueue(QUEUE, [new_job()]), stats("sync")])

    assert (type(first), added[0].created, type(second)) == (Stats, True, Stats)


async def test_a_server_that_knows_no_flags_gets_the_plain_texts(engine: AsyncEngine) -> None:
    assert await engine.run_all([TOO_NEW, TOO_NEW]) == [b"plain", b"plain"]
    assert await engine.run_all([TOO_NEW, TOO_NEW]) == [b"plain", b"plain"]


async def test_a_broken_connection_is_replaced_and_the_calls_sent_again(engine: AsyncEngine, raw: redis.Redis) -> None:
    await engine.run_all([stats(QUEUE), stats("sync")])
    for n in range(5):
        raw.client_kill_filter(_type="normal", skipme=True)

        added, _ = await engine.run_all([enqueue(QUEUE, [new_job(f"j{n}")]), stats("sync")])

        assert added[0].job_id == f"j{n}"


async def test_calls_that_are_cancelled_on_their_way_never_give_their_answers_to_others(
    engine: AsyncEngine, raw: redis.Redis
) -> None:
    dice = random.Random(7)
    crossed: list[str] = []
    answered = cancelled = 0

    async def ask(number: int) -> None:
        nonlocal answered, cancelled
        for n in range(20):
            job_id = f"j{number}-{n}"
            calls: list[Call[Any]] = [enqueue(QUEUE, [new_job(job_id)]), states(QUEUE, [job_id]), stats(QUEUE)]
            under_way = asyncio.create_task(engine.run_all(calls))
            if n % 2:
                for _ in range(dice.randrange(4)):
                    await asyncio.sleep(0)  # the loop goes round once: the calls are a bit further on their way
                under_way.cancel()
            try:
                added, found, _ = await under_way
            except asyncio.CancelledError:
                cancelled += 1
            else:
                answered += 1
                if added[0].job_id != job_id or len(found) != 1:
                    crossed.append(job_id)

    await asyncio.gather(*(ask(number) for number in range(32)))

    assert crossed == []
    assert min(answered, cancelled) > 50
    assert (await engine.run(stats(QUEUE)))[JobState.WAITING] >= answered


@pytest.mark.parametrize("queues", [1, 20])
async def test_however_many_calls_they_are_one_round_trip(valkey: EmbeddedServer, queues: int) -> None:
    engine = AsyncEngine(Store.parse(valkey.url))
    calls = [stats(f"q{n}") for n in range(queues)]
    await engine.survey(calls)

    with raw_client(valkey) as raw:
        before = reads(raw)
        await engine.survey(calls)
        after = reads(raw)

    await engine.close()
    assert after - before == 1 + 1  # the other one is ours, which asked for the number


async def test_a_survey_tells_how_full_redis_is(engine: AsyncEngine, raw: redis.Redis) -> None:
    raw.config_set("maxmemory", 512 * 1024 * 1024)
    try:
        (found,), memory = await engine.survey([stats(QUEUE)])
    finally:
        raw.config_set("maxmemory", 0)
    _, unlimited = await engine.survey([])

    assert isinstance(found, Stats)
    assert memory is not None
    assert memory.limit == 512 * 1024 * 1024
    assert 100_000 < memory.used < memory.limit
    assert unlimited is not None
    assert unlimited.limit == 0


async def test_a_survey_without_the_right_to_ask_for_the_memory_has_all_the_rest(
    engine: AsyncEngine, raw: redis.Redis
) -> None:
    """INFO counts as dangerous: many operators take it away from the user of an application."""
    allow(raw, "-info")
    try:
        (found,), memory = await engine.survey([stats(QUEUE)])
    finally:
        allow(raw, "+info")

    assert isinstance(found, Stats)
    assert memory is None


def allow(raw: Any, rule: str) -> None:
    raw.execute_command("ACL", "SETUSER", "default", rule)


@pytest.mark.parametrize(("limits", "limit"), [((100, 200), 300), ((100, 0), 0), ((0, 0), 0)])
def test_the_memory_of_several_servers_is_added_up(limits: tuple[int, int], limit: int) -> None:
    info = {f"node-{n}": {"used_memory": 10, "maxmemory": each} for n, each in enumerate(limits)}

    assert Memory.read(info) == Memory(used=20, limit=limit)
