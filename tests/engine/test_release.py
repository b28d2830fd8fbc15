"""release: active -> waiting | delayed: handed back."""

from __future__ import annotations

from datetime import timedelta

import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import JobState, Spent
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Worker, ids, look, new_job, put, released, state, woken


def test_a_released_job_has_its_old_place_and_is_charged_nothing(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    put(engine, "a", new_job("first", priority=1), "b", "c")
    jobs = worker.take(3)
    assert ids(jobs) == ["first", "a", "b"]

    assert engine.run(released(*reversed(jobs))) == [True] * 3

    found = look(engine)
    assert (found.state, found.spent, found.attempts) == (JobState.WAITING, Spent(), ())
    again = other_worker.take()
    assert ids(again) == ["first", "a", "b", "c"]
    assert [job.attempt for job in again] == [1, 1, 1, 1]


def test_a_job_can_be_handed_back_for_later(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a", "b")
    engine.run(released(worker.take_one(), delay=timedelta(seconds=30)))

    assert look(engine).run_at == clock.now + timedelta(seconds=30)
    assert ids(worker.take()) == ["b"]
    clock.advance(seconds=30)
    assert ids(worker.take()) == ["a"]


def test_a_job_that_was_asked_to_stop_is_cancelled_and_not_lined_up(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a", "no longer wanted"))

    assert engine.run(released(job)) == [True]

    assert (look(engine).state, look(engine).cancel_reason) == (JobState.CANCELLED, "no longer wanted")


def test_what_is_handed_back_wakes_a_worker(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    woken(raw)

    engine.run(released(worker.take_one()))

    assert woken(raw)


def test_a_second_release_finds_no_lease_and_changes_nothing(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(released(job))

    assert engine.run(released(job)) == [False]
    assert state(engine) is JobState.WAITING
