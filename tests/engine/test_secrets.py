"""Secrets stand in one hash while their job lives, and nowhere when it has ended, however it ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.job import JobState
from server.engine.sweep import promote, reclaim
from server.engine.work import extend
from tests.conftest import Clock
from tests.engine.hands import (
    BACKOFF,
    LEASE,
    QUEUE,
    SETTLEMENTS,
    Worker,
    keys_that_hold,
    look,
    new_job,
    put,
    retried,
    run_of,
    snoozed,
)

SECRET = "the-code-is-987654"  # noqa: S105  (a test's)
End = Callable[[Engine, Clock, Worker], object]


def settled(name: str) -> End:
    def end(engine: Engine, clock: Clock, worker: Worker) -> None:
        engine.run(SETTLEMENTS[name](worker.take_one()))

    return end


def settled_after_cancel(name: str) -> End:
    def end(engine: Engine, clock: Clock, worker: Worker) -> None:
        job = worker.take_one()
        engine.run(cancel(QUEUE, "a"))
        engine.run(SETTLEMENTS[name](job))

    return end


def cancelled_while_waiting(engine: Engine, clock: Clock, worker: Worker) -> None:
    engine.run(cancel(QUEUE, "a"))


def cancelled_while_delayed(engine: Engine, clock: Clock, worker: Worker) -> None:
    engine.run(retried(worker.take_one()))
    engine.run(cancel(QUEUE, "a"))


def cancelled_when_lost(engine: Engine, clock: Clock, worker: Worker) -> None:
    worker.take_one()
    engine.run(cancel(QUEUE, "a"))
    clock.advance(LEASE)
    engine.run(reclaim(QUEUE))


def poisoned(engine: Engine, clock: Clock, worker: Worker) -> None:
    for _ in range(3):
        engine.run(extend(QUEUE, [run_of(worker.take_one())], lease=LEASE))
        clock.advance(LEASE)
        engine.run(reclaim(QUEUE, gap=timedelta(days=1)))


def expired_before_it_was_reserved(engine: Engine, clock: Clock, worker: Worker) -> None:
    clock.advance(hours=1)
    worker.reserve()


def expired_while_nobody_reserved(engine: Engine, clock: Clock, worker: Worker) -> None:
    clock.advance(hours=1)
    engine.run(promote(QUEUE))


ENDS: dict[str, End] = {
    **{name: settled(name) for name in ("complete", "fail", "stop")},
    **{f"{name} after cancel": settled_after_cancel(name) for name in SETTLEMENTS},
    **{
        end.__name__: end
        for end in (
            cancelled_while_waiting,
            cancelled_while_delayed,
            cancelled_when_lost,
            poisoned,
            expired_before_it_was_reserved,
            expired_while_nobody_reserved,
        )
    },
}


def put_secret(engine: Engine, clock: Clock) -> None:
    put(
        engine,
        new_job(
            payload=f'{{"code": "{SECRET}"}}'.encode(),
            masked=b'{"code": "***"}',
            expires_at=clock.now + timedelta(hours=1),
            idempotency_key="order-17",
        ),
    )


@pytest.mark.parametrize("name", ENDS)
def test_no_key_holds_the_secret_of_a_job_that_has_ended(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis, name: str
) -> None:
    put_secret(engine, clock)
    assert keys_that_hold(raw, SECRET) == {"secrets"}

    ENDS[name](engine, clock, worker)

    assert look(engine).state.terminal
    assert keys_that_hold(raw, SECRET) == set()
    assert look(engine).request.payload == b'{"code": "***"}'


def test_the_secret_is_there_for_every_attempt(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    put_secret(engine, clock)
    for settle in (retried, snoozed, SETTLEMENTS["release"]):
        job = worker.take_one()
        assert SECRET.encode() in job.payload
        assert keys_that_hold(raw, SECRET) == {"secrets"}
        engine.run(settle(job))
        clock.advance(BACKOFF)

    assert SECRET.encode() in worker.take_one().payload


def test_what_everybody_sees_never_holds_the_secret(engine: Engine, clock: Clock, worker: Worker) -> None:
    put_secret(engine, clock)
    for expected in (JobState.WAITING, JobState.ACTIVE):
        found = look(engine)
        assert found.state is expected
        assert SECRET not in repr(found)
        worker.take()
