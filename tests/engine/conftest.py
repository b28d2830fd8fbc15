from __future__ import annotations

import pytest

from server.engine.engine import Engine
from tests.engine.hands import Worker


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine)


@pytest.fixture
def other_worker(engine: Engine) -> Worker:
    return Worker(engine, name="w2")
