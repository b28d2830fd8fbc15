"""standing: what decides when one job runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.engine import Engine
from server.engine.errors import JobNotFound
from server.engine.job import JobState
from server.engine.look import Pause, Standing, standing
from server.engine.overrides import Overrides
from server.engine.steer import pause, update
from server.engine.work import RateLimit, attend
from tests.conftest import Clock
from tests.engine.hands import QUEUE, TASK, Worker, contents, new_job, put

SECOND = timedelta(seconds=1)
RATE = RateLimit(count=5, period=10 * SECOND)


def of(engine: Engine, job_id: str = "a", **how: timedelta) -> Standing:
    return engine.run(standing(QUEUE, job_id, **how))


def test_a_waiting_job_has_a_number_in_the_line(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "first", "second", "a", new_job("higher", priority=1))
    worker.take(1)

    found = of(engine)

    assert (found.at, found.task, found.state) == (clock.now, TASK, JobState.WAITING)
    assert (found.ahead, found.active, found.due) == (2, 1, None)


def test_a_delayed_job_has_a_time(engine: Engine, clock: Clock) -> None:
    put(engine, new_job(delay=9 * SECOND))

    found = of(engine)

    assert (found.state, found.due) == (JobState.DELAYED, clock.now + 9 * SECOND)


def test_every_state_is_told(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    assert {job_id: of(engine, job_id).state for job_id in one_of_each} == one_of_each


def test_an_unknown_job_is_not_found(engine: Engine) -> None:
    with pytest.raises(JobNotFound, match=r"^queue email has no job a$"):
        of(engine)


def test_starts_count_within_the_period(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Those before it stay on record until somebody reserves: they hold nobody up."""
    put(engine, *(f"j{n}" for n in range(5)), "a")
    worker.take(2, rate_limit=RATE)
    clock.advance(4 * SECOND)
    second = clock.now
    worker.take(1, rate_limit=RATE)
    counts = []
    for span in (timedelta(0), 6 * SECOND - timedelta(milliseconds=1), timedelta(milliseconds=1), 4 * SECOND):
        clock.advance(span)
        found = of(engine, period=RATE.period)
        counts.append((found.starts, found.oldest_start))

    first = second - 4 * SECOND
    assert counts == [(3, first), (3, first), (1, second), (0, None)]


def test_the_period_that_an_operator_set_goes_first(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "j", "a")
    worker.take(1, rate_limit=RATE)
    clock.advance(2 * SECOND)
    assert of(engine, period=SECOND).starts == 0

    engine.run(update(QUEUE, Overrides(rate_limit=RATE)))

    assert of(engine, period=SECOND).starts == 1


def test_what_operators_did_is_told(engine: Engine, clock: Clock) -> None:
    put(engine, "a")
    engine.run(pause(QUEUE, "mail is down", until=clock.now + SECOND))
    engine.run(update(QUEUE, Overrides(concurrency=3)))

    found = of(engine)

    assert found.pause == Pause(since=clock.now, reason="mail is down", until=clock.now + SECOND)
    assert found.overrides == Overrides(concurrency=3)
    clock.advance(SECOND)
    assert of(engine).pause is None


def test_the_workers_of_the_queue_are_told(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    assert of(engine).workers == []

    engine.run(attend(QUEUE, "w2", tasks=[TASK], threads=8, started_at=clock.now))

    (found,) = of(engine).workers
    assert found.name == "w2"
    assert found.crew
    assert found.crew.tasks == (TASK,)


def test_looking_changes_nothing(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "j", "a")
    worker.take(1, rate_limit=RATE)
    engine.run(pause(QUEUE, until=clock.now + SECOND))
    clock.advance(minutes=1)
    before = contents(raw)

    of(engine, period=RATE.period)

    assert contents(raw) == before
