"""reserve: waiting -> active."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import redis

from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.job import FailureReason, JobState, OnConflict, Unique
from server.engine.look import stats
from server.engine.steer import pause, resume
from server.engine.sweep import reclaim
from server.engine.work import Found, RateLimit, reserve
from tests.conftest import Clock
from tests.engine.hands import (
    LEASE,
    QUEUE,
    Worker,
    completed,
    contents,
    failed,
    ids,
    look,
    new_job,
    put,
    released,
    retried,
    state,
    woken,
)

SECOND = timedelta(seconds=1)


def lose(engine: Engine, clock: Clock) -> None:
    """The worker dies: its lease runs out and is swept up."""
    clock.advance(LEASE - SECOND)
    engine.run(reclaim(QUEUE, gap=timedelta(days=1)))
    clock.advance(SECOND)
    engine.run(reclaim(QUEUE, gap=timedelta(days=1)))


def test_a_reserved_job_is_active_and_its_worker_has_all_of_it(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(payload=b'{"code":"123456"}', masked=b'{"code":"***"}', labels={"tenant": "north"}))

    job = worker.take_one()

    assert job.payload == b'{"code":"123456"}'
    assert (job.attempt, job.spent.failures, job.reserved_at) == (1, 0, clock.now)
    assert (job.lease.queue, job.lease.job_id, job.lease.token) == (QUEUE, "a", "w1:1")
    found = look(engine)
    assert job.request == found.request
    assert found.request.payload == b'{"code":"***"}'
    assert (found.state, found.lease_ends_at) == (JobState.ACTIVE, clock.now + LEASE)
    assert [(attempt.number, attempt.worker, attempt.outcome) for attempt in found.attempts] == [(1, "w1", None)]


def test_no_job_is_handed_out_twice(engine: Engine, worker: Worker, other_worker: Worker) -> None:
    put(engine, *(f"j{n}" for n in range(10)))

    taken = ids(worker.take(4)) + ids(other_worker.take(4)) + ids(worker.take(4)) + ids(other_worker.take(4))

    assert taken == [f"j{n}" for n in range(10)]


def test_an_empty_queue_says_so(worker: Worker) -> None:
    reservation = worker.reserve()

    assert (reservation.found, reservation.jobs, reservation.ask_again) == (Found.NOTHING, [], None)


def test_an_empty_queue_tells_when_the_next_job_is_due(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("b", delay=20 * SECOND), new_job("a", delay=10 * SECOND))

    assert worker.reserve().ask_again == 10 * SECOND
    clock.advance(seconds=9.999)
    assert worker.reserve().ask_again == timedelta(milliseconds=1)


def test_what_is_due_is_lined_up_first_the_oldest_before_the_younger(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, new_job("c", delay=3 * SECOND), new_job("b", delay=2 * SECOND), new_job("a", delay=SECOND), "first")
    clock.advance(seconds=3)

    assert ids(worker.take()) == ["first", "a", "b", "c"]


def test_many_due_jobs_are_lined_up_in_steps_and_none_is_left(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, *(new_job(f"j{n:03}", delay=SECOND) for n in range(200)))
    clock.advance(seconds=1)

    taken = [ids(worker.take()) for _ in range(5)]

    assert [len(part) for part in taken] == [64, 64, 64, 8, 0]
    assert [job_id for part in taken for job_id in part] == [f"j{n:03}" for n in range(200)]


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    engine.run(pause(QUEUE))
    assert worker.reserve().found is Found.PAUSE

    engine.run(resume(QUEUE))
    assert ids(worker.take()) == ["a"]


def test_the_concurrency_limit_holds_over_all_workers(engine: Engine, worker: Worker, other_worker: Worker) -> None:
    put(engine, *(f"j{n}" for n in range(6)))

    first = worker.take(2, concurrency=3)
    second = other_worker.take(2, concurrency=3)
    assert (len(first), len(second)) == (2, 1)
    assert worker.reserve(2, concurrency=3).found is Found.LIMIT

    engine.run(completed(first[0]))
    assert len(other_worker.take(2, concurrency=3)) == 1


def test_a_lost_lease_gives_its_place_under_the_limit_back(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker
) -> None:
    """Places are counted by leases, so a crash leaks none."""
    put(engine, "a", "b")
    worker.take(1, concurrency=1)
    assert other_worker.reserve(concurrency=1).found is Found.LIMIT

    lose(engine, clock)

    assert ids(other_worker.take(1, concurrency=1)) == ["a"]


def test_no_period_of_any_beginning_sees_more_starts_than_the_rate_limit(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker
) -> None:
    limit = RateLimit(count=3, period=SECOND)
    put(engine, *(f"j{n}" for n in range(20)))
    starts = []
    for step in range(60):
        reserving = (worker, other_worker)[step % 2]
        starts += [clock.now] * len(reserving.take(1 + step % 4, rate_limit=limit))
        clock.advance(milliseconds=70)

    assert len(starts) >= 12
    assert all(later - earlier >= SECOND for earlier, later in zip(starts, starts[3:], strict=False))


def test_a_rate_limit_is_used_up_to_the_last_start(engine: Engine, clock: Clock, worker: Worker) -> None:
    """The hint names the very moment at which the next one may start."""
    limit = RateLimit(count=2, period=SECOND)
    put(engine, *(f"j{n}" for n in range(8)))
    moments: list[datetime] = []
    while len(moments) < 8:
        reservation = worker.reserve(5, rate_limit=limit)
        moments += [clock.now] * len(reservation.jobs)
        if not reservation.jobs:
            assert reservation.found is Found.LIMIT
            assert reservation.ask_again is not None
            clock.advance(reservation.ask_again)

    assert moments[::2] == moments[1::2]
    assert {later - earlier for earlier, later in pairwise(moments[::2])} == {SECOND}


def test_what_an_operator_set_goes_before_what_a_worker_brings(
    engine: Engine, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, "a", "b", "c")
    raw.hset(f"cabrank:{{{QUEUE}}}:meta", "concurrency", 1)

    assert len(worker.take(3, concurrency=2)) == 1


def test_an_expired_job_fails_instead_of_starting(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(expires_at=clock.now + SECOND, payload=b'"secret"', masked=b'"***"'), "b")
    clock.advance(seconds=1)

    assert ids(worker.take()) == ["b"]

    expired = look(engine)
    assert (expired.state, expired.ended_at) == (JobState.FAILED, clock.now)
    assert expired.failure is not None
    assert expired.failure.reason is FailureReason.EXPIRED
    assert expired.attempts == ()


def test_a_job_may_start_up_to_its_expiry(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(expires_at=clock.now + SECOND))
    clock.advance(milliseconds=999)

    assert ids(worker.take()) == ["a"]


def test_a_line_of_expired_jobs_does_not_hide_what_comes_after(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, *(new_job(f"old{n}", expires_at=clock.now) for n in range(3)), new_job("next", delay=SECOND))

    reservation = worker.reserve(2)
    assert (reservation.found, reservation.ask_again) == (Found.NOTHING, timedelta(milliseconds=1))
    reservation = worker.reserve(2)
    assert (reservation.found, reservation.ask_again) == (Found.NOTHING, SECOND)


def test_the_same_number_gets_the_same_jobs_and_no_others(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    """The answer may have been lost on its way, and the jobs with it."""
    put(engine, *(f"j{n}" for n in range(5)))
    first = worker.reserve(2)
    before = contents(raw)
    clock.advance(seconds=1)

    again = worker.reserve_again(2)

    assert again.jobs == first.jobs
    assert contents(raw) == before


def test_the_same_number_gets_only_what_is_still_its_own(engine: Engine, worker: Worker) -> None:
    put(engine, "a", "b", "c")
    a, b, _ = worker.take(3)
    engine.run(completed(a))
    engine.run(released(b))

    assert ids(worker.reserve_again(3).jobs) == ["c"]


def test_a_job_whose_lease_was_lost_is_handed_out_alone(engine: Engine, clock: Clock, worker: Worker) -> None:
    """A worker that dies of it takes no neighbour along."""
    put(engine, "a", "b")
    worker.take(2)
    lose(engine, clock)
    put(engine, "c")

    alone = worker.take()
    assert ids(alone) == ["a"]
    assert (alone[0].spent.lost, alone[0].attempt) == (1, 2)
    assert ids(worker.take()) == ["b"]
    assert ids(worker.take()) == ["c"]


def test_the_innocent_in_front_of_a_suspect_go_first_and_together(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "suspect")
    worker.take_one()
    lose(engine, clock)
    put(engine, new_job("a", priority=1), new_job("b", priority=1))

    assert ids(worker.take()) == ["a", "b"]
    assert ids(worker.take()) == ["suspect"]


def test_a_job_without_a_record_is_passed_over(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    """Somebody deleted it by hand: the queue goes on, and nothing of it stays."""
    secret = new_job("a", payload=b'"s"', masked=b'"*"', unique=Unique(key="x", on_conflict=OnConflict.RETURN))
    put(engine, secret, "b")
    raw.hdel(f"cabrank:{{{QUEUE}}}:jobs", "a")

    assert ids(worker.take()) == ["b"]
    assert state(engine) is None
    assert raw.hgetall(f"cabrank:{{{QUEUE}}}:secrets") == {}
    assert raw.hget(f"cabrank:{{{QUEUE}}}:totals", "orphaned") == b"1"


def test_who_takes_work_and_leaves_some_wakes_the_next(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a", "b")
    woken(raw)

    worker.take(1)
    assert woken(raw)
    worker.take(1)
    assert not woken(raw)


def test_attempts_are_numbered_from_one(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    numbers = []
    for _ in range(3):
        job = worker.take_one()
        numbers.append(job.attempt)
        engine.run(retried(job))
        clock.advance(seconds=2)
    engine.run(failed(worker.take_one()))

    assert numbers == [1, 2, 3]
    assert [attempt.number for attempt in look(engine).attempts] == [1, 2, 3, 4]


@pytest.mark.parametrize("want", [0, 1001])
def test_a_number_of_jobs_out_of_range_is_refused(worker: Worker, want: int) -> None:
    with pytest.raises(InvalidValue, match=r"^want must lie between 1 and 1000$"):
        worker.reserve(want)


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a\\b", "a\nb", "ä", "w" * 201])
def test_a_worker_whose_name_would_break_a_lease_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match=r"^worker must be"):
        reserve(QUEUE, worker=name, number=1, want=1, lease=LEASE)


def test_a_thousand_jobs_can_be_taken_at_once(engine: Engine, worker: Worker) -> None:
    put(engine, *(f"j{n}" for n in range(1000)))

    assert len(worker.take(1000)) == 1000
    assert engine.run(stats(QUEUE))[JobState.ACTIVE] == 1000
