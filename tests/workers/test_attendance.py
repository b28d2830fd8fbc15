"""Operators see which worker processes there are, and what they can do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from server.catalog import JobContext, handler
from server.dev.valkey import EmbeddedServer
from server.engine import look
from server.engine.engine import Engine
from server.engine.errors import BackendUnavailable
from server.engine.look import SILENCE, Worker
from server.engine.store import Store
from tests.conftest import raw_client
from tests.workers.conftest import OnDuty
from tests.workers.duty import QUEUE, Duty, Probe, probe, until
from workers import attendance
from workers.attendance import Attendance

LOOK, OTHER = probe(), probe("other.look", queue="other")


@handler(LOOK)
def here(_: Probe, _job: JobContext) -> None: ...


@handler(OTHER)
def there(_: Probe, _job: JobContext) -> None: ...


def introduced(duty: Duty, queue: str = QUEUE) -> list[Worker]:
    """Those that have said what they can do."""
    return [worker for worker in duty.engine.run(look.crew(queue)) if worker.crew is not None]


def test_a_worker_introduces_itself_to_each_of_its_queues(off_duty: OnDuty) -> None:
    duty = off_duty(here, there, threads=3)
    duty.plain_actor(lambda: None, actor_name="plain")
    before = datetime.now(UTC)
    duty.start()
    until(lambda: bool(introduced(duty) and introduced(duty, "other")))

    (worker,), (same,) = introduced(duty), introduced(duty, "other")

    assert worker.name == same.name == duty.shift.worker
    assert worker.crew is not None
    assert (worker.crew.tasks, worker.crew.threads) == (("plain", LOOK.name), 3)
    assert before - timedelta(milliseconds=1) <= worker.crew.started_at <= datetime.now(UTC)
    assert same.crew is not None
    assert same.crew.tasks == (OTHER.name,)


def test_it_says_so_again_and_again(on_duty: OnDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "_EVERY", 0.05)
    duty = on_duty(here)
    until(lambda: bool(introduced(duty)))

    with raw_client(duty.server) as raw:
        raw.flushall()

    until(lambda: bool(introduced(duty)))


def test_one_round_may_be_missed_before_a_worker_counts_as_gone() -> None:
    assert timedelta(seconds=attendance._EVERY) * 2 < SILENCE


def test_a_worker_that_ends_in_order_is_gone_at_once(on_duty: OnDuty) -> None:
    duty = on_duty(here, there)
    until(lambda: bool(introduced(duty) and introduced(duty, "other")))

    duty.stop()

    assert duty.engine.run(look.crew(QUEUE)) == duty.engine.run(look.crew("other")) == []


def test_a_queue_that_cannot_be_reached_does_not_hide_the_worker_from_others(
    valkey: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(Store.parse(valkey.url)) as engine:
        run = engine.run

        def partly(call: object) -> object:
            if "{away}" in call.keys[0]:  # type: ignore[attr-defined]
                raise BackendUnavailable
            return run(call)  # type: ignore[arg-type]

        duty = Attendance(
            engine,
            worker="w",
            queues=("away", QUEUE),
            tasks=lambda _: [LOOK.name],
            threads=1,
            started_at=datetime.now(UTC),
        )
        with monkeypatch.context() as outage, capture_logs() as lines:
            outage.setattr(engine, "run", partly)
            duty.attend()

        assert [worker.name for worker in engine.run(look.crew(QUEUE))] == ["w"]
        assert engine.run(look.crew("away")) == []
        assert [(line["event"], line["queue"]) for line in lines] == [("presence not told", "away")]
