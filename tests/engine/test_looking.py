"""Who only looks is answered also while Redis takes no writes: just then somebody wants to see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from server.engine.engine import Engine
from server.engine.errors import BackendUnavailable
from tests.conftest import Clock
from tests.engine.hands import Worker, put
from tests.engine.transitions import READING, TRANSITIONS


@pytest.fixture
def replicas(raw: redis.Redis) -> Iterator[redis.Redis]:
    """How many of them Redis needs for a write is as before when the test is over."""
    yield raw
    raw.config_set("min-replicas-to-write", 0)


@pytest.fixture(params=["flagged", "plain"])
def engine(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """Also with the texts for Redis 6.2."""
    engine._flagged = request.param == "flagged"
    return engine


# newest writes a first entry where there is none.
@pytest.mark.parametrize("name", sorted(READING - {"newest"}))
def test_looks_are_answered_while_nothing_is_written(
    engine: Engine, clock: Clock, worker: Worker, replicas: redis.Redis, name: str
) -> None:
    call = TRANSITIONS[name](engine, clock, worker)
    replicas.config_set("min-replicas-to-write", 1)
    with pytest.raises(BackendUnavailable):
        put(engine, "another")

    engine.run(call)
