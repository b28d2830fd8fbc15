"""remove: waiting | delayed | completed | failed | cancelled -> gone, because an operator wants it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.errors import InvalidValue, JobInState, JobNotFound
from server.engine.job import JobState, Unique
from server.engine.look import stats
from server.engine.mend import MEND_LIMIT, remove
from server.engine.sweep import Retentions, promote, prune
from server.engine.work import note
from tests.conftest import Clock
from tests.engine.hands import (
    BACKOFF,
    QUEUE,
    Worker,
    completed,
    contents,
    failed,
    ids,
    keys_that_hold,
    new_job,
    put,
    retried,
    state,
)

REMOVABLE = [each for each in JobState if each is not JobState.ACTIVE]


def bring_into(engine: Engine, worker: Worker, wanted: JobState, job_id: str = "a") -> None:
    put(engine, new_job(job_id, delay=BACKOFF if wanted is JobState.DELAYED else timedelta(0)))
    if wanted is JobState.CANCELLED:
        engine.run(cancel(QUEUE, job_id))
    if wanted in (JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED):
        job = worker.take_one()
        if wanted is not JobState.ACTIVE:
            engine.run((completed if wanted is JobState.COMPLETED else failed)(job))
    assert state(engine, job_id) is wanted


@pytest.mark.parametrize("was", REMOVABLE)
def test_a_job_is_removed_from_any_state_but_active(engine: Engine, worker: Worker, was: JobState) -> None:
    bring_into(engine, worker, was)

    assert engine.run(remove(QUEUE, ["a"])) == [None]

    assert state(engine) is None
    assert sum(engine.run(stats(QUEUE)).jobs.values()) == 0


def test_an_active_job_stays_and_its_state_is_named(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    bring_into(engine, worker, JobState.ACTIVE)
    before = contents(raw)

    (refusal,) = engine.run(remove(QUEUE, ["a"]))

    assert isinstance(refusal, JobInState)
    assert str(refusal) == "job a is active: cancel it first"
    assert contents(raw) == before


def test_an_unknown_job_is_not_found(engine: Engine) -> None:
    (refusal,) = engine.run(remove(QUEUE, ["nobody"]))

    assert isinstance(refusal, JobNotFound)


@pytest.mark.parametrize("was", REMOVABLE)
def test_where_a_state_is_named_what_has_left_it_stays(engine: Engine, worker: Worker, was: JobState) -> None:
    """Between the look at a list and the removal a job may have gone on: then nobody meant it."""
    bring_into(engine, worker, was)
    other = next(each for each in REMOVABLE if each is not was)

    (refusal,) = engine.run(remove(QUEUE, ["a"], state=other))
    assert isinstance(refusal, JobInState)
    assert refusal.state == was

    assert engine.run(remove(QUEUE, ["a"], state=was)) == [None]


def test_of_a_removed_job_nothing_is_left_but_the_news(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    job_id = "traceless-4711"
    put(
        engine,
        new_job(
            job_id,
            payload=b'"secret-code"',
            masked=b'"***"',
            expires_at=clock.now + timedelta(hours=1),
            retention=timedelta(hours=2),
            unique=Unique(key="course-5"),
        ),
    )
    leased = worker.take_one()
    engine.run(note(leased.lease, progress=(50, "half"), line="half"))
    engine.run(retried(leased))
    assert keys_that_hold(raw, job_id) >= {"secrets", "expiring", "claims", "attempts", "spent", "progress", "logs"}

    engine.run(remove(QUEUE, [job_id]))

    assert keys_that_hold(raw, job_id) == {"reservations", "events"}
    assert keys_that_hold(raw, "secret-code") == set()
    clock.advance(hours=3)
    engine.run(promote(QUEUE))
    assert worker.take() == []


def test_an_ended_job_is_not_waited_for_by_prune(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(retention=timedelta(hours=1)))
    engine.run(completed(worker.take_one()))

    engine.run(remove(QUEUE, ["a"]))

    clock.advance(days=2)
    assert engine.run(prune(QUEUE, Retentions())).gone == 0


def test_its_unique_key_is_free(engine: Engine) -> None:
    unique = Unique(key="course-5")
    put(engine, new_job("a", unique=unique))

    engine.run(remove(QUEUE, ["a"]))

    assert put(engine, new_job("b", unique=unique))[0].created


def test_a_unique_key_with_a_time_holds_for_its_time(engine: Engine, clock: Clock) -> None:
    unique = Unique(key="once", lasts=timedelta(seconds=9))
    put(engine, new_job("a", unique=unique))

    engine.run(remove(QUEUE, ["a"]))

    assert put(engine, new_job("b", unique=unique))[0].job_id == "a"
    clock.advance(seconds=9)
    assert put(engine, new_job("b", unique=unique))[0].created


def test_an_idempotency_key_answers_for_its_time(engine: Engine, clock: Clock) -> None:
    """A request that comes late once more makes no second job, also when an operator took the first one away."""
    put(engine, new_job("a", idempotency_key="order-17"))

    engine.run(remove(QUEUE, ["a"]))

    (again,) = put(engine, new_job("b", idempotency_key="order-17"))
    assert (again.job_id, again.created) == ("a", False)
    clock.advance(days=1)
    assert put(engine, new_job("b", idempotency_key="order-17"))[0].created


def test_the_unique_key_of_another_job_stays(engine: Engine, worker: Worker) -> None:
    unique = Unique(key="course-5")
    put(engine, new_job("a", unique=unique))
    engine.run(failed(worker.take_one()))
    put(engine, new_job("b", unique=unique))

    engine.run(remove(QUEUE, ["a"]))

    assert put(engine, new_job("c", unique=unique))[0].job_id == "b"


def test_each_of_many_has_its_answer(engine: Engine, worker: Worker) -> None:
    put(engine, *"abcd")
    worker.take_one()

    first, second, third, fourth, fifth = engine.run(remove(QUEUE, ["b", "a", "nobody", "b", "d"]))

    assert (first, fifth) == (None, None)
    assert isinstance(second, JobInState)
    assert isinstance(third, JobNotFound)
    assert isinstance(fourth, JobNotFound)
    assert ids(worker.take()) == ["c"]


def test_removed_is_counted_and_no_other_total_falls(engine: Engine, worker: Worker) -> None:
    bring_into(engine, worker, JobState.FAILED, "b")
    put(engine, "a")
    before = engine.run(stats(QUEUE)).totals

    engine.run(remove(QUEUE, ["a", "b", "nobody"]))

    after = engine.run(stats(QUEUE)).totals
    assert after.removed == 2
    assert (after.enqueued, after.finished) == (before.enqueued, before.finished)


def test_a_thousand_go_at_once(engine: Engine) -> None:
    names = [f"j{n}" for n in range(MEND_LIMIT)]
    put(engine, *names)

    assert engine.run(remove(QUEUE, names)) == [None] * MEND_LIMIT
    assert sum(engine.run(stats(QUEUE)).jobs.values()) == 0


@pytest.mark.parametrize("number", [0, MEND_LIMIT + 1])
def test_none_and_too_many_are_refused(number: int) -> None:
    with pytest.raises(InvalidValue, match=r"^job_ids must be 1 to 1,000$"):
        remove(QUEUE, ["a"] * number)
