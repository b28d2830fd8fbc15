"""Workers in this process, and the jobs that they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from server.catalog import Handler
from server.dev.valkey import EmbeddedServer
from tests.workers.duty import Duty
from workers import keeper, sweeper

OnDuty = Callable[..., Duty]


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests need not wait for the next second."""
    monkeypatch.setattr(keeper, "_BEAT", 0.1)
    monkeypatch.setattr(sweeper, "_EVERY", 0.2)


@pytest.fixture
def off_duty(valkey: EmbeddedServer) -> Iterator[OnDuty]:
    """Makes a worker that has not started yet. Everything ends with the test."""
    with ExitStack() as closing:

        def make(*handlers: Handler[Any], **options: Any) -> Duty:
            return closing.enter_context(Duty(valkey, *handlers, **options))

        yield make


@pytest.fixture
def on_duty(off_duty: OnDuty) -> OnDuty:
    """Makes a worker that runs jobs at once."""
    return lambda *handlers, **options: off_duty(*handlers, **options).start()
