"""Workers in this process, and the jobs that they hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import structlog

from server.catalog import Handler
from server.dev.valkey import EmbeddedServer
from tests.workers.duty import Duty
from workers import keeper, sweeper, timer

OnDuty = Callable[..., Duty]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What workers log goes where pytest shows it if the test fails, and nowhere else."""
    root = logging.getLogger()
    others = [handler for handler in root.handlers if not type(handler).__module__.startswith("_pytest")]
    for handler in others:
        root.removeHandler(handler)
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
    )
    yield
    structlog.reset_defaults()
    for handler in others:
        root.addHandler(handler)


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tests need not wait for the next second."""
    monkeypatch.setattr(keeper, "_BEAT", 0.1)
    monkeypatch.setattr(sweeper, "_EVERY", 0.2)
    monkeypatch.setattr(timer, "_EVERY", 0.05)


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
