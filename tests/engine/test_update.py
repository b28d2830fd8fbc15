"""update: what an operator sets holds from the next call on, until it is reset."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.job import JobState
from server.engine.look import stats
from server.engine.overrides import FIELDS, Overrides
from server.engine.steer import pause, update
from server.engine.sweep import Retention, Retentions, prune
from server.engine.work import Found, RateLimit
from tests.conftest import Clock
from tests.engine.hands import QUEUE, SETTLEMENTS, Worker, completed, contents, new_job, put, woken

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
EVERYTHING = Overrides(
    concurrency=7,
    rate_limit=RateLimit(count=5, period=SECOND),
    completed_age=HOUR,
    completed_count=10,
    failed_age=2 * HOUR,
    failed_count=20,
    healthy_failed=1,
    healthy_waiting=2,
    healthy_stalled=3,
    needs_workers=False,
)


def now_set(engine: Engine) -> Overrides:
    return engine.run(stats(QUEUE)).overrides


def test_everything_can_be_set_and_reset(engine: Engine, raw: redis.Redis) -> None:
    engine.run(update(QUEUE, EVERYTHING))
    assert now_set(engine) == EVERYTHING

    engine.run(update(QUEUE, Overrides(), reset=[*FIELDS]))
    assert now_set(engine) == Overrides()
    assert not any(key.endswith(":meta") for key in contents(raw))


def test_what_is_not_named_stays(engine: Engine) -> None:
    engine.run(update(QUEUE, Overrides(concurrency=7, failed_count=20, healthy_failed=1)))

    engine.run(update(QUEUE, Overrides(concurrency=8), reset=["health"]))

    assert now_set(engine) == Overrides(concurrency=8, failed_count=20)


@pytest.mark.parametrize("name", FIELDS)
def test_one_is_reset_and_no_other(engine: Engine, name: str) -> None:
    engine.run(update(QUEUE, EVERYTHING))

    engine.run(update(QUEUE, Overrides(), reset=[name]))

    assert now_set(engine).names == [each for each in FIELDS if each != name]
    assert now_set(engine).fields().items() <= EVERYTHING.fields().items()


def test_a_reset_of_what_nobody_set_changes_nothing(engine: Engine, raw: redis.Redis) -> None:
    engine.run(pause(QUEUE))
    engine.run(update(QUEUE, Overrides()))
    before = contents(raw)

    engine.run(update(QUEUE, Overrides(), reset=[*FIELDS]))

    assert contents(raw) == before


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"^reset has no setting 'paused': must be of concurrency, rate_limit, "):
        update(QUEUE, Overrides(), reset=["health", "paused"])


def test_what_is_set_cannot_be_reset_in_the_same_breath() -> None:
    with pytest.raises(InvalidValue, match=r"^reset and completed_retention cannot be given together$"):
        update(QUEUE, Overrides(completed_count=1), reset=["completed_retention"])


@pytest.mark.parametrize("environment", [0, 1, 9])
def test_reserve_obeys_the_concurrency(engine: Engine, worker: Worker, environment: int) -> None:
    put(engine, *"abcde")
    engine.run(update(QUEUE, Overrides(concurrency=3)))
    jobs = worker.take(5, concurrency=environment)
    assert len(jobs) == 3
    assert worker.reserve(concurrency=environment).found is Found.LIMIT

    engine.run(update(QUEUE, Overrides(concurrency=4)))
    assert len(worker.take(5, concurrency=environment)) == 1
    engine.run(update(QUEUE, Overrides(), reset=["concurrency"]))
    engine.run(completed(*jobs))
    assert len(worker.take(5, concurrency=2)) == 1


def test_a_lower_concurrency_stops_nobody(engine: Engine, worker: Worker) -> None:
    """What runs ends as it would; until then nothing starts."""
    put(engine, *"abcd")
    jobs = worker.take(3)
    engine.run(update(QUEUE, Overrides(concurrency=1)))
    assert worker.reserve().found is Found.LIMIT

    for job in jobs[:2]:
        engine.run(completed(job))
        assert worker.take() == []
    engine.run(completed(jobs[2]))
    assert len(worker.take()) == 1


@pytest.mark.parametrize("environment", [None, RateLimit(count=1, period=9 * SECOND)])
def test_reserve_obeys_the_rate_limit(
    engine: Engine, clock: Clock, worker: Worker, environment: RateLimit | None
) -> None:
    put(engine, *"abcde")
    engine.run(update(QUEUE, Overrides(rate_limit=RateLimit(count=2, period=2 * SECOND))))
    assert len(worker.take(5, rate_limit=environment)) == 2

    found = worker.reserve(5, rate_limit=environment)
    assert (found.found, found.ask_again) == (Found.LIMIT, 2 * SECOND)
    clock.advance(seconds=2)
    assert len(worker.take(5, rate_limit=environment)) == 2


def test_a_rate_limit_can_be_lifted_and_come_back(engine: Engine, clock: Clock, worker: Worker) -> None:
    rate = RateLimit(count=1, period=SECOND)
    put(engine, *"abcdef")
    engine.run(update(QUEUE, Overrides(rate_limit=rate)))

    engine.run(update(QUEUE, Overrides(unlimited_rate=True)))
    assert now_set(engine) == Overrides(unlimited_rate=True)
    assert len(worker.take(3, rate_limit=rate)) == 3

    engine.run(update(QUEUE, Overrides(), reset=["rate_limit"]))
    assert len(worker.take(3, rate_limit=rate)) == 1


@pytest.mark.parametrize(
    ("settle", "ended"),
    [("complete", JobState.COMPLETED), ("fail", JobState.FAILED), ("stop", JobState.CANCELLED)],
)
@pytest.mark.parametrize("how", ["age", "count"])
def test_prune_obeys_the_retentions(
    engine: Engine, clock: Clock, worker: Worker, settle: str, ended: JobState, how: str
) -> None:
    """What was cancelled is kept as what was completed."""
    put(engine, *"abc")
    engine.run(SETTLEMENTS[settle](*worker.take()))
    clock.advance(HOUR)
    group = "failed" if ended is JobState.FAILED else "completed"
    other = "completed" if group == "failed" else "failed"
    value = SECOND if how == "age" else 1

    engine.run(update(QUEUE, Overrides(**{f"{other}_{how}": value})))  # type: ignore[arg-type]
    assert engine.run(prune(QUEUE, Retentions())).gone == 0
    engine.run(update(QUEUE, Overrides(**{f"{group}_{how}": value})))  # type: ignore[arg-type]
    assert engine.run(prune(QUEUE, Retentions())).gone == (3 if how == "age" else 2)


def test_a_longer_retention_goes_before_that_of_the_environment(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    engine.run(completed(worker.take_one()))
    engine.run(update(QUEUE, Overrides(completed_age=9 * HOUR, completed_count=5)))
    nothing = Retention(age=timedelta(0), count=0)
    environment = Retentions(completed=nothing, failed=nothing, cancelled=nothing)
    clock.advance(8 * HOUR)
    assert engine.run(prune(QUEUE, environment)).gone == 0

    engine.run(update(QUEUE, Overrides(), reset=["completed_retention"]))
    assert engine.run(prune(QUEUE, environment)).gone == 1


def test_an_age_that_an_operator_makes_shorter_and_longer_again_is_obeyed(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    """A sweep remembers how far it came: it must not take that for a promise."""
    put(engine, new_job("own", retention=timedelta(days=9)), "a")
    engine.run(completed(*worker.take()))
    clock.advance(2 * HOUR)
    for age, gone in ((3 * HOUR, 0), (HOUR, 1), (9 * HOUR, 0)):
        engine.run(update(QUEUE, Overrides(completed_age=age)))
        assert engine.run(prune(QUEUE, Retentions())).gone == gone

    put(engine, "b")
    engine.run(completed(worker.take_one()))
    clock.advance(9 * HOUR)
    assert engine.run(prune(QUEUE, Retentions())).gone == 1


def test_an_update_wakes_a_worker(engine: Engine, raw: redis.Redis) -> None:
    """There may be room now for another job."""
    engine.run(update(QUEUE, Overrides(concurrency=9)))

    assert woken(raw)
