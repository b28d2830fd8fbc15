"""stats: how a queue is doing at one moment."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, JobState
from server.engine.look import SILENCE, Pause, Stats, stats
from server.engine.mend import remove, revive
from server.engine.overrides import Overrides
from server.engine.steer import pause, resume, update
from server.engine.sweep import promote, reclaim
from server.engine.work import attend, extend, leave
from tests.conftest import Clock
from tests.engine.hands import (
    LEASE,
    QUEUE,
    RAN_FOR,
    TASK,
    Worker,
    completed,
    contents,
    failed,
    new_job,
    put,
    released,
    retried,
    run_of,
    snoozed,
    stopped,
)

SECOND = timedelta(seconds=1)


def seen(engine: Engine, queue: str = QUEUE) -> Stats:
    return engine.run(stats(queue))


def test_every_state_is_counted(engine: Engine, one_of_each: dict[str, JobState]) -> None:
    put(engine, "another")

    found = seen(engine)

    assert found.jobs == dict.fromkeys(JobState, 1) | {JobState.WAITING: 2}
    assert found[JobState.WAITING] == 2


def test_of_a_queue_that_nobody_used_there_is_nothing(engine: Engine, clock: Clock) -> None:
    found = seen(engine, "nobody")

    assert set(found.jobs.values()) == {0}
    assert (found.at, found.stalled, found.workers) == (clock.now, 0, 0)
    assert (found.oldest_waiting, found.oldest_active, found.pause) == (None, None, None)
    assert (found.overrides, found.totals.enqueued) == (Overrides(), {})


def test_looking_changes_nothing(engine: Engine, clock: Clock, raw: redis.Redis, one_of_each: object) -> None:
    engine.run(pause(QUEUE, until=clock.now + SECOND))
    clock.advance(SECOND)
    before = contents(raw)

    seen(engine)

    assert contents(raw) == before


def test_a_job_is_stalled_while_its_lease_has_run_out(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a", "b")
    first, _ = worker.take()
    clock.advance(LEASE - timedelta(milliseconds=1))
    assert seen(engine).stalled == 0

    engine.run(extend(QUEUE, [run_of(first)], lease=LEASE))
    clock.advance(milliseconds=1)
    found = seen(engine)
    assert (found.stalled, found[JobState.ACTIVE]) == (1, 2)

    engine.run(reclaim(QUEUE, gap=timedelta(days=1)))
    assert seen(engine).stalled == 0


def test_the_oldest_waiting_is_found_in_every_band(engine: Engine, clock: Clock) -> None:
    """The line is ordered by priority: the one that has waited longest may stand anywhere in it."""
    for job_id, priority in (("lowest", -100), ("normal", 0), ("highest", 100)):
        put(engine, new_job(job_id, priority=priority))
        clock.advance(seconds=2)
    put(engine, *(new_job(f"young{n}", priority=n) for n in range(-100, 101)))
    clock.advance(SECOND)
    ages = []
    for job_id in ("lowest", "normal", "highest"):
        ages.append(seen(engine).oldest_waiting)
        engine.run(remove(QUEUE, [job_id]))

    assert ages == [7 * SECOND, 5 * SECOND, 3 * SECOND]
    found = seen(engine).oldest_waiting
    # More than 64 in a millisecond run ahead of the clock: by 201 / 64 of one.
    assert found
    assert SECOND - timedelta(milliseconds=4) <= found <= SECOND


def test_a_job_that_was_delayed_is_as_old_as_its_turn(engine: Engine, clock: Clock, worker: Worker) -> None:
    """An alert on the age shall not cry out for a job that was to be late, nor for one that is tried again."""
    put(engine, new_job("later", delay=timedelta(hours=9)), "again")
    engine.run(retried(worker.take_one(), delay=timedelta(hours=9)))
    clock.advance(hours=9)
    engine.run(promote(QUEUE))
    clock.advance(seconds=4)

    assert seen(engine).oldest_waiting == 4 * SECOND


def test_a_job_that_was_handed_back_is_as_old_as_before(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    clock.advance(seconds=4)
    job = worker.take_one()
    clock.advance(seconds=2)
    assert seen(engine).oldest_waiting is None

    engine.run(released(job))

    assert seen(engine).oldest_waiting == 6 * SECOND


def test_no_job_is_younger_than_nothing(engine: Engine) -> None:
    """A thousand jobs of one millisecond have places up to 16 ms ahead of it."""
    put(engine, *(f"j{n}" for n in range(1000)))
    engine.run(remove(QUEUE, [f"j{n}" for n in range(999)]))

    assert seen(engine).oldest_waiting == timedelta(0)


def test_the_oldest_active_counts_from_its_start(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a", "b")
    first = worker.take_one()
    clock.advance(SECOND)
    second = worker.take_one()
    engine.run(extend(QUEUE, [run_of(second)], lease=LEASE))
    clock.advance(SECOND)
    assert seen(engine).oldest_active == 2 * SECOND  # reserved, and nobody has said that it started

    engine.run(completed(first))
    assert seen(engine).oldest_active == SECOND - RAN_FOR


def test_workers_count_while_they_are_heard_of(engine: Engine, clock: Clock, worker: Worker) -> None:
    worker.reserve()
    engine.run(attend(QUEUE, "w2", tasks=[TASK], threads=8, started_at=clock.now))
    assert seen(engine).workers == 2

    clock.advance(SILENCE)
    assert seen(engine).workers == 2
    engine.run(attend(QUEUE, "w2", tasks=[TASK], threads=8, started_at=clock.now))
    clock.advance(milliseconds=1)
    assert seen(engine).workers == 1
    engine.run(leave(QUEUE, "w2"))
    assert seen(engine).workers == 0


def test_a_pause_has_a_beginning_a_reason_and_an_end(engine: Engine, clock: Clock) -> None:
    assert not seen(engine).paused
    engine.run(pause(QUEUE))
    assert seen(engine).pause == Pause(since=clock.now, reason="", until=None)
    engine.run(resume(QUEUE))
    assert seen(engine).pause is None

    ends = clock.now + SECOND
    engine.run(pause(QUEUE, "mail is down", until=ends))
    assert seen(engine).pause == Pause(since=clock.now, reason="mail is down", until=ends)
    assert seen(engine).paused


def test_a_pause_that_is_over_is_none(engine: Engine, clock: Clock) -> None:
    """Also before anybody has taken its flag away."""
    engine.run(pause(QUEUE, until=clock.now + SECOND))
    clock.advance(SECOND - timedelta(milliseconds=1))
    assert seen(engine).paused

    clock.advance(milliseconds=1)
    assert not seen(engine).paused


def test_what_operators_have_set_is_told(engine: Engine) -> None:
    overrides = Overrides(concurrency=7, healthy_failed=0)
    engine.run(update(QUEUE, overrides))

    assert seen(engine).overrides == overrides


def test_everything_that_happened_is_counted(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, *"abcdef", new_job("other", task="email.receipt", priority=-1), new_job("gone", delay=9 * SECOND))
    engine.run(cancel(QUEUE, "other"))
    a, b, c, d, e, f = worker.take(6)
    engine.run(cancel(QUEUE, "f"))
    engine.run(completed(a, b))
    engine.run(failed(c))
    engine.run(retried(d))
    engine.run(snoozed(e))
    engine.run(stopped(f))
    engine.run(revive(QUEUE, ["c"]))
    engine.run(remove(QUEUE, ["gone", "a"]))
    worker.take(1)
    clock.advance(LEASE)
    engine.run(reclaim(QUEUE, gap=timedelta(days=1)))

    found = seen(engine).totals

    assert found.enqueued == {TASK: 7, "email.receipt": 1}
    assert found.finished == {
        (TASK, JobState.COMPLETED): 2,
        (TASK, JobState.FAILED): 1,
        (TASK, JobState.CANCELLED): 1,
        ("email.receipt", JobState.CANCELLED): 1,
    }
    assert found.attempts == {
        (TASK, AttemptOutcome.COMPLETED): 2,
        (TASK, AttemptOutcome.FAILED): 2,
        (TASK, AttemptOutcome.SNOOZED): 1,
        (TASK, AttemptOutcome.CANCELLED): 1,
        (TASK, AttemptOutcome.LOST): 1,
    }
    assert (found.retried, found.removed) == ({TASK: 1}, 2)
    assert found.ended(JobState.CANCELLED) == 2
    assert found.run[TASK].count == found.wait[TASK].count == 6  # a lost attempt has no end that anybody saw


def test_wait_and_run_are_timed_to_the_millisecond(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    clock.advance(seconds=2)
    job = worker.take_one()
    clock.advance(RAN_FOR + timedelta(milliseconds=70))

    engine.run(completed(job))

    found = seen(engine).totals
    assert found.wait[TASK].total == 2 * SECOND + RAN_FOR
    assert found.run[TASK].total == timedelta(milliseconds=70)


def test_the_wait_of_a_second_attempt_counts_from_when_it_was_due(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    engine.run(retried(worker.take_one(), delay=timedelta(hours=1)))
    clock.advance(hours=1)
    engine.run(promote(QUEUE))
    clock.advance(seconds=3)

    engine.run(completed(worker.take_one()))

    assert seen(engine).totals.wait[TASK].total == RAN_FOR + 3 * SECOND + RAN_FOR


@pytest.mark.parametrize("started", [True, False])
def test_a_job_that_never_started_was_no_attempt(engine: Engine, worker: Worker, started: bool) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(cancel(QUEUE, "a"))

    engine.run(stopped(job) if started else released(job))

    found = seen(engine).totals
    assert found.ended(JobState.CANCELLED) == 1
    assert len(found.attempts) == len(found.run) == len(found.wait) == int(started)
