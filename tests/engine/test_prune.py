"""prune: ended jobs -> gone, as far as their retention is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.job import JobState, Unique
from server.engine.look import stats
from server.engine.sweep import Retention, Retentions, prune
from server.engine.work import extend, note
from tests.conftest import Clock
from tests.engine.hands import (
    LEASE,
    QUEUE,
    SETTLEMENTS,
    Worker,
    completed,
    contents,
    failed,
    keys_that_hold,
    new_job,
    put,
    retried,
    run_of,
    state,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ALL = 10_000


def retentions(age: timedelta = HOUR, count: int = ALL) -> Retentions:
    retention = Retention(age=age, count=count)
    return Retentions(completed=retention, failed=retention, cancelled=retention)


def gone(engine: Engine, kept: Retentions | None = None, *, limit: int = 500) -> int:
    """Prunes until nothing is left to do."""
    number = 0
    for _ in range(100):
        pruning = engine.run(prune(QUEUE, kept or retentions(), limit=limit))
        number += pruning.gone
        if not pruning.more:
            return number
    raise AssertionError("prune never comes to an end")


def end(engine: Engine, worker: Worker, *job_ids: str) -> None:
    put(engine, *job_ids)
    engine.run(completed(*worker.take()))


@pytest.mark.parametrize("name", ["complete", "fail", "stop"])
def test_an_ended_job_goes_when_it_is_old_enough(engine: Engine, clock: Clock, worker: Worker, name: str) -> None:
    put(engine, "a")
    engine.run(SETTLEMENTS[name](worker.take_one()))
    clock.advance(HOUR - timedelta(milliseconds=1))
    assert gone(engine) == 0

    clock.advance(milliseconds=1)
    assert gone(engine) == 1
    assert state(engine) is None


def test_each_terminal_state_has_a_retention_of_its_own(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "completed", "failed", "cancelled")
    engine.run(cancel(QUEUE, "cancelled"))
    first, second = worker.take()
    engine.run(completed(first))
    engine.run(failed(second))
    kept = Retentions(
        completed=Retention(age=HOUR, count=ALL),
        failed=Retention(age=2 * HOUR, count=ALL),
        cancelled=Retention(age=3 * HOUR, count=ALL),
    )
    left = []
    for _ in range(3):
        clock.advance(HOUR)
        assert gone(engine, kept) == 1
        left.append({name for name in ("completed", "failed", "cancelled") if state(engine, name)})

    assert left == [{"failed", "cancelled"}, {"cancelled"}, set()]


def test_what_lives_is_never_pruned(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("delayed", delay=timedelta(days=300)), new_job("active", priority=1), "waiting")
    job = worker.take_one()
    for _ in range(3):
        clock.advance(days=90)
        engine.run(extend(QUEUE, [run_of(job)], lease=LEASE))
        assert gone(engine, retentions(timedelta(0), 0)) == 0

    assert [state(engine, job_id) for job_id in ("delayed", "active", "waiting")] == ["delayed", "active", "waiting"]


def test_the_oldest_go_where_there_are_too_many(engine: Engine, clock: Clock, worker: Worker) -> None:
    for n in range(5):
        end(engine, worker, f"j{n}")
        clock.advance(seconds=1)
    clock.advance(MINUTE)

    assert gone(engine, retentions(count=2)) == 3
    assert [n for n in range(5) if state(engine, f"j{n}")] == [3, 4]


def test_nothing_goes_within_a_minute_of_its_end(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Neither by age nor by number nor by its own retention: whatever is sent again must still find the job."""
    end(engine, worker, "a")
    put(engine, new_job("own", retention=timedelta(milliseconds=1)))
    engine.run(completed(worker.take_one()))
    clock.advance(MINUTE - timedelta(milliseconds=1))
    assert gone(engine, retentions(timedelta(0), 0)) == 0

    clock.advance(milliseconds=1)
    assert gone(engine, retentions(timedelta(0), 0)) == 2


@pytest.mark.parametrize("own", [2 * MINUTE, 5 * HOUR])
def test_a_retention_of_its_own_holds_exactly(engine: Engine, clock: Clock, worker: Worker, own: timedelta) -> None:
    put(engine, new_job("own", retention=own))
    engine.run(completed(worker.take_one()))
    clock.advance(own - timedelta(milliseconds=1))
    assert gone(engine) == 0

    clock.advance(milliseconds=1)
    assert gone(engine) == 1


def test_the_number_kept_goes_before_a_retention_of_its_own(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("own", retention=5 * HOUR))
    engine.run(completed(worker.take_one()))
    clock.advance(MINUTE)

    assert gone(engine, retentions(count=0)) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
def test_those_with_a_time_of_their_own_hide_no_others(
    engine: Engine, clock: Clock, worker: Worker, limit: int
) -> None:
    """More of them than a step takes, in one millisecond and in many, before, between and after the others."""
    for n in range(12):
        put(engine, *(new_job(f"own{n}-{m}", retention=9 * HOUR) for m in range(n % 5)), f"common{n}")
        engine.run(completed(*worker.take()))
        clock.advance(milliseconds=n % 3)
    clock.advance(HOUR)

    assert gone(engine, limit=limit) == 12
    assert engine.run(stats(QUEUE))[JobState.COMPLETED] == 21
    clock.advance(8 * HOUR)
    assert gone(engine, limit=limit) == 21


def test_jobs_that_end_after_a_sweep_are_found_by_the_next(engine: Engine, clock: Clock, worker: Worker) -> None:
    """A sweep remembers how far it came, for it passes over what stays."""
    for n in range(4):
        put(engine, new_job(f"own{n}", retention=9 * HOUR), f"common{n}")
        engine.run(completed(*worker.take()))
        clock.advance(HOUR)
        assert gone(engine) == 1


def test_a_clock_that_goes_back_leaves_nothing_behind(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("own", retention=timedelta(days=9)))
    engine.run(completed(worker.take_one()))
    clock.advance(hours=5)
    gone(engine)

    clock.advance(hours=-3)
    end(engine, worker, "a")
    for _ in range(6):
        clock.advance(minutes=30)
        gone(engine)

    assert state(engine, "a") is None


def test_an_age_that_was_made_longer_or_shorter_is_taken_as_it_is_now(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, new_job("own", retention=timedelta(days=9)), "a")
    engine.run(completed(*worker.take()))
    clock.advance(hours=3)
    assert gone(engine, retentions(4 * HOUR)) == 0
    assert gone(engine, retentions(2 * HOUR)) == 1

    end(engine, worker, "b")
    clock.advance(hours=1)
    assert gone(engine, retentions(2 * HOUR)) == 0
    assert gone(engine, retentions(HOUR)) == 1


def test_a_step_is_bounded_and_says_when_there_is_more(engine: Engine, clock: Clock, worker: Worker) -> None:
    end(engine, worker, *(f"j{n}" for n in range(7)))
    clock.advance(HOUR)

    steps = [engine.run(prune(QUEUE, retentions(), limit=7)) for _ in range(2)]

    assert [(step.gone, step.more) for step in steps] == [(7, True), (0, False)]


def test_more_claims_than_a_step_takes_go_in_many_steps(engine: Engine, clock: Clock, raw: redis.Redis) -> None:
    put(engine, *(new_job(f"j{n}", idempotency_key=f"k{n}") for n in range(5)))
    for n in range(5):
        engine.run(cancel(QUEUE, f"j{n}"))
    clock.advance(days=1)

    gone(engine, limit=2)

    assert raw.hlen(f"cabrank:{{{QUEUE}}}:claims") == raw.zcard(f"cabrank:{{{QUEUE}}}:claims_until") == 0


def test_of_a_pruned_job_nothing_is_left(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    job_id = "traceless-4711"
    job = new_job(
        job_id,
        payload=b'"secret-code"',
        masked=b'"***"',
        expires_at=clock.now + HOUR,
        retention=2 * HOUR,
        idempotency_key="order-17",
        unique=Unique(key="course-5", lasts=HOUR),
        labels={"tenant": "north"},
    )
    put(engine, job)
    engine.run(retried(worker.take_one()))
    clock.advance(seconds=2)
    leased = worker.take_one()
    engine.run(note(leased.lease, progress=(50, "half"), line="half"))
    engine.run(extend(QUEUE, [run_of(leased)], lease=LEASE))
    engine.run(completed(leased, result=b'"done"'))
    assert keys_that_hold(raw, job_id) >= {"jobs", "completed", "attempts", "spent", "outcomes", "progress", "logs"}

    clock.advance(days=1)
    worker.reserve()
    assert gone(engine) == 1

    # Of a worker that lives: its next jobs take the place. And the news of it, until newer ones push them out.
    assert keys_that_hold(raw, job_id) == {"reservations", "events"}
    clock.advance(days=1)
    gone(engine)
    assert {key.rpartition(":")[2] for key in contents(raw)} <= {"meta", "totals", "events", "wake"}


def test_totals_do_not_fall_when_jobs_go(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    end(engine, worker, "a", "b")
    before = raw.hgetall(f"cabrank:{{{QUEUE}}}:totals")
    clock.advance(HOUR)

    assert gone(engine) == 2
    assert raw.hgetall(f"cabrank:{{{QUEUE}}}:totals") == before | {b"removed": b"2"}


@pytest.mark.parametrize(("age", "count"), [(timedelta(milliseconds=-1), 0), (timedelta(0), -1)])
def test_a_retention_below_nothing_is_refused(age: timedelta, count: int) -> None:
    with pytest.raises(InvalidValue, match=r"^retention must not be negative$"):
        Retention(age=age, count=count)
