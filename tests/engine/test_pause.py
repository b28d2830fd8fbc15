"""pause and resume: a flag of a queue, never a state of a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.job import JobState, LeasedJob
from server.engine.look import Pause, stats
from server.engine.steer import pause, resume, unstarted
from server.engine.sweep import promote
from server.engine.work import Attention, Found, Run, extend
from tests.conftest import Clock
from tests.engine.hands import (
    LEASE,
    QUEUE,
    Worker,
    completed,
    ids,
    new_job,
    put,
    released,
    retried,
    run_of,
    state,
    woken,
)

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
META = f"cabrank:{{{QUEUE}}}:meta"


def test_what_runs_goes_on_while_its_queue_is_paused(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(pause(QUEUE))

    assert engine.run(completed(job)) == [True]
    assert state(engine) is JobState.COMPLETED


def test_a_paused_queue_takes_jobs_and_lines_up_what_is_due(engine: Engine, clock: Clock, worker: Worker) -> None:
    engine.run(pause(QUEUE))
    put(engine, "a", new_job("b", delay=timedelta(seconds=1)))
    clock.advance(seconds=1)

    assert worker.reserve().found is Found.PAUSE
    assert engine.run(stats(QUEUE))[JobState.WAITING] == 2


def test_a_failed_attempt_is_not_tried_again_before_the_queue_is_resumed(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(pause(QUEUE))
    engine.run(retried(job))
    clock.advance(seconds=2)
    assert worker.take() == []

    engine.run(resume(QUEUE))
    assert worker.take_one().attempt == 2


def test_the_first_pause_stands(engine: Engine, clock: Clock, raw: redis.Redis) -> None:
    engine.run(pause(QUEUE))
    since = raw.hget(META, "paused")
    clock.advance(seconds=1)

    engine.run(pause(QUEUE))

    assert raw.hget(META, "paused") == since
    assert engine.run(stats(QUEUE)).paused


def test_resume_wakes_a_worker(engine: Engine, raw: redis.Redis) -> None:
    engine.run(pause(QUEUE))
    put(engine, "a")
    woken(raw)

    engine.run(resume(QUEUE))

    assert woken(raw)
    assert not engine.run(stats(QUEUE)).paused


def test_paused_again_what_is_not_said_again_stays(engine: Engine, clock: Clock) -> None:
    """Who repeats a pause to wait on must not take away what a colleague said."""
    since = clock.now
    engine.run(pause(QUEUE, "mail is down", until=since + MINUTE))
    clock.advance(seconds=1)

    engine.run(pause(QUEUE))
    assert engine.run(stats(QUEUE)).pause == Pause(since=since, reason="mail is down", until=since + MINUTE)
    engine.run(pause(QUEUE, "mail is down for longer", until=since + 2 * MINUTE))
    assert engine.run(stats(QUEUE)).pause == Pause(
        since=since, reason="mail is down for longer", until=since + 2 * MINUTE
    )


def test_a_new_pause_knows_nothing_of_the_last(engine: Engine, clock: Clock) -> None:
    engine.run(pause(QUEUE, "mail is down", until=clock.now + MINUTE))
    clock.advance(MINUTE)

    engine.run(pause(QUEUE))

    assert engine.run(stats(QUEUE)).pause == Pause(since=clock.now, reason="", until=None)


def test_nothing_of_a_pause_is_left_when_it_is_over(engine: Engine, clock: Clock, raw: redis.Redis) -> None:
    engine.run(pause(QUEUE, "mail is down", until=clock.now + MINUTE))

    engine.run(resume(QUEUE))

    assert raw.exists(META) == 0


def test_a_reason_is_short() -> None:
    pause(QUEUE, "x" * 200)
    with pytest.raises(InvalidValue, match=r"^reason must not be longer than 200 characters$"):
        pause(QUEUE, "x" * 201)


def test_a_pause_with_an_end_holds_until_then_and_not_longer(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    engine.run(pause(QUEUE, until=clock.now + MINUTE))
    found = worker.reserve()
    assert (found.found, found.ask_again) == (Found.PAUSE, MINUTE)

    clock.advance(MINUTE - timedelta(milliseconds=1))
    assert worker.take() == []
    clock.advance(milliseconds=1)
    assert ids(worker.take()) == ["a"]


def test_of_a_pause_without_an_end_nobody_knows_when_to_ask_again(engine: Engine, worker: Worker) -> None:
    engine.run(pause(QUEUE))

    assert worker.reserve().ask_again is None


def by_reserve(engine: Engine, worker: Worker, job: LeasedJob) -> None:
    worker.reserve()


def by_promote(engine: Engine, worker: Worker, job: LeasedJob) -> None:
    engine.run(promote(QUEUE))


def by_extend(engine: Engine, worker: Worker, job: LeasedJob) -> None:
    engine.run(extend(QUEUE, [run_of(job)], lease=LEASE))


@pytest.mark.parametrize("notice", [by_reserve, by_promote, by_extend])
def test_whoever_notices_that_a_pause_is_over_ends_it_and_wakes_a_worker(
    engine: Engine,
    clock: Clock,
    worker: Worker,
    other_worker: Worker,
    raw: redis.Redis,
    notice: Callable[[Engine, Worker, LeasedJob], None],
) -> None:
    """Those that wait for work know nothing of the end: nobody tells them that the queue goes on."""
    put(engine, *"abc")
    job = worker.take_one()
    engine.run(pause(QUEUE, "mail is down", until=clock.now + MINUTE))
    clock.advance(MINUTE)
    woken(raw)

    notice(engine, other_worker, job)

    assert woken(raw)
    assert raw.hexists(META, "paused") == raw.hexists(META, "paused_until") == raw.hexists(META, "pause_reason") == 0


def test_a_pause_after_one_that_is_over_begins_anew(engine: Engine, clock: Clock) -> None:
    """Nobody may have noticed the end of the first."""
    engine.run(pause(QUEUE, until=clock.now + MINUTE))
    clock.advance(2 * MINUTE)

    engine.run(pause(QUEUE, "again"))

    assert engine.run(stats(QUEUE)).pause == Pause(since=clock.now, reason="again", until=None)


def test_a_worker_hands_back_what_it_has_not_started(engine: Engine, worker: Worker) -> None:
    put(engine, "runs", "still")
    runs, still = worker.take()
    held = [run_of(runs), Run(lease=still.lease, started_after=None)]
    assert engine.run(extend(QUEUE, held, lease=LEASE)) == {}

    engine.run(pause(QUEUE))

    assert engine.run(extend(QUEUE, held, lease=LEASE)) == {"still": Attention.PAUSED}
    engine.run(released(still))
    assert worker.take() == []
    engine.run(resume(QUEUE))
    assert ids(worker.take()) == ["still"]


def test_a_start_that_comes_together_with_the_pause_is_known_from_then_on(engine: Engine, worker: Worker) -> None:
    """A worker that asks whether it may begin is told not to; one whose job runs goes on, and is not told again."""
    put(engine, "a")
    begins = run_of(worker.take_one())
    engine.run(pause(QUEUE))

    assert engine.run(extend(QUEUE, [begins], lease=LEASE)) == {"a": Attention.PAUSED}

    assert engine.run(unstarted(QUEUE)) == 0
    assert engine.run(extend(QUEUE, [begins], lease=LEASE)) == {}


def test_who_shall_stop_a_job_is_told_that_and_not_of_the_pause(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(pause(QUEUE))
    engine.run(cancel(QUEUE, "a"))

    told = engine.run(extend(QUEUE, [Run(lease=job.lease, started_after=None)], lease=LEASE))

    assert told == {"a": Attention.CANCEL}


def test_after_the_end_of_a_pause_nothing_is_handed_back(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    job = Run(lease=worker.take_one().lease, started_after=None)
    engine.run(pause(QUEUE, until=clock.now + SECOND))
    assert engine.run(extend(QUEUE, [job], lease=LEASE)) == {"a": Attention.PAUSED}

    clock.advance(SECOND)

    assert engine.run(extend(QUEUE, [job], lease=LEASE)) == {}


def test_unstarted_counts_what_a_worker_may_still_start(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Held, under a lease that has not run out, and not said to have started: without these a pause is complete."""
    put(engine, *"abcd", "waiting", new_job("delayed", delay=MINUTE))
    assert engine.run(unstarted(QUEUE)) == 0
    a, b, _, _ = worker.take(4)
    assert engine.run(unstarted(QUEUE)) == 4

    engine.run(extend(QUEUE, [run_of(a)], lease=LEASE))
    assert engine.run(unstarted(QUEUE)) == 3
    engine.run(released(b))
    assert engine.run(unstarted(QUEUE)) == 2

    clock.advance(LEASE - timedelta(milliseconds=1))
    assert engine.run(unstarted(QUEUE)) == 2
    clock.advance(milliseconds=1)  # reclaimed by nobody yet, and lost all the same
    assert engine.run(unstarted(QUEUE)) == 0
