"""Every transition, each in a situation in which it has something to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from server.engine.admit import cancel, enqueue, get, states
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.job import OnConflict, Unique
from server.engine.steer import counts, pause, resume
from server.engine.sweep import Retentions, promote, prune, reclaim
from server.engine.work import RateLimit, extend, note, reserve
from tests.conftest import Clock
from tests.engine.hands import LEASE, QUEUE, SETTLEMENTS, Worker, new_job, put, run_of

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
    "pause": a_sweep(pause(QUEUE)),
    "resume": an_end_of_pause,
    "get": a_sweep(get(QUEUE, "lost")),
    "states": a_sweep(states(QUEUE, ["lost", "late", "nobody"])),
    "counts": a_sweep(counts(QUEUE)),
}
READING = {"get", "states", "counts"}
