"""Every transition, each in a situation in which it has something to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from server.engine.admit import cancel, enqueue, find, get, states
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.events import changes, newest
from server.engine.job import JobState, OnConflict, Unique
from server.engine.look import Place, brief, crew, page, standing, stats
from server.engine.mend import hasten, remove, revive
from server.engine.overrides import Overrides
from server.engine.steer import pause, resume, unstarted, update
from server.engine.sweep import Retentions, promote, prune, reclaim
from server.engine.work import RateLimit, Run, attend, extend, leave, note, reserve
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, SETTLEMENTS, Worker, failed, new_job, put, run_of

Prepare = Callable[[Engine, Clock, Worker], Call[Any]]
SECOND = timedelta(seconds=1)


def a_mixed_batch(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    unique = Unique(key="course-5", on_conflict=OnConflict.REPLACE)
    put(engine, new_job("there", unique=unique), "same")
    return enqueue(
        QUEUE,
        [
            new_job("new", idempotency_key="k1", payload=b'"s"', masked=b'"*"', expires_at=clock.now + 9 * SECOND),
            new_job("later", delay=9 * SECOND, unique=Unique(key="once", lasts=SECOND)),
            new_job("replacing", unique=unique, delay=5 * SECOND),
            new_job("same"),
            new_job(
                "keyed-twin", idempotency_key="k1", payload=b'"s"', masked=b'"*"', expires_at=clock.now + 9 * SECOND
            ),
        ],
    )


def a_reservation(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, *"abc", new_job("due", delay=SECOND), new_job("expired", expires_at=clock.now + SECOND))
    clock.advance(SECOND)
    limit = RateLimit(count=9, period=SECOND)
    return reserve(QUEUE, worker="w", number=1, want=2, lease=LEASE, concurrency=5, rate_limit=limit)


def an_extension(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, *"ab")
    jobs = worker.take()
    engine.run(cancel(QUEUE, "b"))
    clock.advance(SECOND)
    return extend(QUEUE, [run_of(job) for job in jobs], lease=LEASE)


def some_progress(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a")
    lease = worker.take_one().lease
    engine.run(note(lease, line="begun"))
    return note(lease, progress=(50, "half"))


def a_settlement(name: str, *, cancelled: bool = False) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, *(new_job(job_id, unique=Unique(key=job_id), retention=9 * SECOND) for job_id in "ab"), "c")
        jobs = worker.take(2)
        if cancelled:
            engine.run(cancel(QUEUE, "b", "first"))
        return SETTLEMENTS[name](*jobs)

    return prepare


def a_cancellation(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a")
    return cancel(QUEUE, "a", "no longer wanted")


def a_request_to_stop(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a")
    worker.take_one()
    return cancel(QUEUE, "a", "no longer wanted")


def an_end_of_pause(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    engine.run(pause(QUEUE))
    return resume(QUEUE)


def a_pause_that_reaches_workers(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a")
    job = worker.take_one()
    engine.run(pause(QUEUE))
    clock.advance(SECOND)
    return extend(QUEUE, [Run(lease=job.lease, started_after=None)], lease=LEASE)


def a_pause_that_is_over(engine: Engine, clock: Clock, worker: Worker) -> None:
    engine.run(pause(QUEUE, "a deploy", until=clock.now + SECOND))
    clock.advance(SECOND)


def an_extension_after_a_pause(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a")
    job = worker.take_one()
    a_pause_that_is_over(engine, clock, worker)
    return extend(QUEUE, [run_of(job)], lease=LEASE)


def after_a_pause(call: Call[Any]) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, "a")
        a_pause_that_is_over(engine, clock, worker)
        return call

    return prepare


def a_second_chance(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    special = new_job("a", unique=Unique(key="a"), retention=9 * SECOND, expires_at=clock.now + 2 * SECOND)
    put(engine, special, "b", "c")
    engine.run(failed(*worker.take(2)))
    clock.advance(SECOND)
    return revive(QUEUE, ["a", "b"])


def a_removal(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, new_job("ended", retention=9 * SECOND), new_job("a", unique=Unique(key="a")))
    engine.run(SETTLEMENTS["complete"](worker.take_one()))
    return remove(QUEUE, ["a", "ended", "nobody"])


def a_signal(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, new_job("a", delay=9 * SECOND))
    return hasten(QUEUE, "a")


def a_signal_to_a_running_job(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a")
    worker.take_one()
    return hasten(QUEUE, "a", active=True)


def an_update(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    engine.run(update(QUEUE, Overrides(concurrency=3, needs_workers=True)))
    rate = RateLimit(count=1, period=SECOND)
    return update(QUEUE, Overrides(concurrency=5, rate_limit=rate), reset=["health"])


def an_introduction(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    return attend(QUEUE, worker.name, tasks=["email.welcome"], threads=8, started_at=clock.now)


def a_farewell(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    engine.run(an_introduction(engine, clock, worker))
    put(engine, "a")
    worker.take_one()
    return leave(QUEUE, worker.name)


def a_look(call: Call[Any]) -> Prepare:
    """At a queue that a worker attends, with jobs that wait, are delayed, run and have ended."""

    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        engine.run(an_introduction(engine, clock, worker))
        put(engine, "ended", "active", "waiting", new_job("later", delay=9 * SECOND), new_job("soon", priority=-9))
        rate = RateLimit(count=9, period=SECOND)
        engine.run(SETTLEMENTS["complete"](worker.take(1, rate_limit=rate)[0], result=b"1"))
        worker.take(1, rate_limit=rate)
        return call

    return prepare


def a_watch(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    cursor = engine.run(newest(QUEUE))
    a_look(newest(QUEUE))(engine, clock, worker)
    return changes(QUEUE, cursor)


def a_first_watch(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    return newest(QUEUE)


def a_sweep(sweep: Call[Any]) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, "lost", "ended", new_job("late", delay=SECOND, idempotency_key="k1"))
        engine.run(SETTLEMENTS["complete"](worker.take(2)[1]))
        clock.advance(days=2)
        return sweep

    return prepare


TRANSITIONS: dict[str, Prepare] = {
    "enqueue": a_mixed_batch,
    "reserve": a_reservation,
    "extend": an_extension,
    "note": some_progress,
    **{name: a_settlement(name) for name in SETTLEMENTS},
    **{f"{name} of a cancelled job": a_settlement(name, cancelled=True) for name in SETTLEMENTS},
    "cancel": a_cancellation,
    "cancel of a running job": a_request_to_stop,
    "promote": a_sweep(promote(QUEUE)),
    "reclaim": a_sweep(reclaim(QUEUE)),
    "prune": a_sweep(prune(QUEUE, Retentions())),
    "revive": a_second_chance,
    "remove": a_removal,
    "hasten": a_signal,
    "hasten of a running job": a_signal_to_a_running_job,
    "pause": a_sweep(pause(QUEUE, "a deploy")),
    "pause after another": after_a_pause(pause(QUEUE, "another deploy")),
    "extend in a pause": a_pause_that_reaches_workers,
    "extend after a pause": an_extension_after_a_pause,
    "reserve after a pause": after_a_pause(reserve(QUEUE, worker="w", number=1, want=2, lease=LEASE)),
    "promote after a pause": after_a_pause(promote(QUEUE)),
    "resume": an_end_of_pause,
    "update": an_update,
    "attend": an_introduction,
    "leave": a_farewell,
    "newest of a queue without news": a_first_watch,
    "newest": a_look(newest(QUEUE)),
    "changes": a_watch,
    "get": a_look(get(QUEUE, "ended")),
    "get of many": a_look(find(QUEUE, ["waiting", "nobody"])),
    "get in brief": a_look(brief(QUEUE, ["ended", "active"])),
    "states": a_look(states(QUEUE, ["ended", "later", "nobody"])),
    "stats": a_look(stats(QUEUE)),
    "page": a_look(page(QUEUE, JobState.WAITING, count=1)),
    "page from the end": a_look(
        page(QUEUE, JobState.WAITING, count=1, after=Place(job_id="nobody", score=f"{2**52}"), newest_first=True)
    ),
    "standing": a_look(standing(QUEUE, "waiting")),
    "crew": a_look(crew(QUEUE)),
    "unstarted": a_look(unstarted(QUEUE)),
}
READING = {
    *("newest", "changes", "get", "get of many", "get in brief", "states", "stats"),
    *("page", "page from the end", "standing", "crew", "unstarted"),
}
