"""When memory is full, new work is refused at the door, and what is inside goes on and makes room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from server.engine.engine import Engine
from server.engine.errors import BackendFull
from server.engine.job import JobState
from server.engine.look import stats
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, completed, contents, new_job, put
from tests.engine.transitions import TRANSITIONS

REFUSED = ("enqueue", "note", "revive")


@pytest.fixture
def memory(raw: redis.Redis) -> Iterator[redis.Redis]:
    """What is set here as `maxmemory` holds for one test."""
    yield raw
    raw.config_set("maxmemory", 0)


def fill(memory: redis.Redis) -> None:
    """From here on nothing fits, and the server does not even have the scripts."""
    memory.config_set("maxmemory", 1)
    memory.script_flush()


@pytest.fixture(params=["flagged", "plain"])
def engine(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """Also with the texts for Redis 6.2, which decides by the first command that a script writes with."""
    engine._flagged = request.param == "flagged"
    return engine


@pytest.mark.parametrize("name", sorted(TRANSITIONS.keys() - REFUSED))
def test_what_is_inside_goes_on(engine: Engine, clock: Clock, worker: Worker, memory: redis.Redis, name: str) -> None:
    call = TRANSITIONS[name](engine, clock, worker)
    fill(memory)

    engine.run(call)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_fill_it_further_is_refused_and_leaves_nothing(
    engine: Engine, clock: Clock, worker: Worker, memory: redis.Redis, name: str
) -> None:
    call = TRANSITIONS[name](engine, clock, worker)
    before = contents(memory)
    fill(memory)

    with pytest.raises(BackendFull, match=r"^the queue's storage is full$"):
        engine.run(call)

    assert contents(memory) == before


def test_a_queue_is_drained_and_takes_work_again(engine: Engine, worker: Worker, memory: redis.Redis) -> None:
    put(engine, *(new_job(f"j{n}", payload=b"1" * 2000) for n in range(50)))
    fill(memory)

    while jobs := worker.take(7):
        assert engine.run(completed(*jobs)) == [True] * len(jobs)
    with pytest.raises(BackendFull):
        put(engine, "another")

    assert engine.run(stats(QUEUE))[JobState.COMPLETED] == 50
    memory.config_set("maxmemory", 0)
    assert put(engine, "another")[0].created
