"""Only the newest token settles a job: a worker that lost its lease changes nothing, whatever it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis

from server.engine.engine import Engine
from server.engine.job import JobError, JobState, LeasedJob
from server.engine.sweep import reclaim
from server.engine.work import Retry, retry
from tests.conftest import Clock
from tests.engine.hands import (
    BACKOFF,
    LEASE,
    QUEUE,
    SETTLEMENTS,
    Worker,
    contents,
    put,
    released,
    retried,
    run_of,
    state,
)


def with_token(job: LeasedJob, token: str) -> LeasedJob:
    return replace(job, lease=replace(job.lease, token=token))


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_a_stale_worker_cannot_settle_what_another_one_has(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker, raw: redis.Redis, name: str
) -> None:
    """It was frozen for longer than its lease, and wakes up to find that the world went on."""
    put(engine, "a", "b")
    stale = worker.take_one()
    clock.advance(LEASE)
    engine.run(reclaim(QUEUE))
    current = other_worker.take_one()
    assert current.request.id == "a"
    before = contents(raw)

    assert engine.run(SETTLEMENTS[name](stale)) == [False]

    assert contents(raw) == before
    assert engine.run(SETTLEMENTS["complete"](current)) == [True]


@pytest.mark.parametrize("name", SETTLEMENTS)
@pytest.mark.parametrize("end", ["complete", "fail"])
def test_a_stale_worker_cannot_settle_what_has_ended(
    engine: Engine, worker: Worker, other_worker: Worker, raw: redis.Redis, name: str, end: str
) -> None:
    put(engine, "a")
    stale = worker.take_one()
    engine.run(released(stale))
    engine.run(SETTLEMENTS[end](other_worker.take_one()))
    before = contents(raw)

    assert engine.run(SETTLEMENTS[name](stale)) == [False]
    assert contents(raw) == before


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_one_stale_job_does_not_spoil_its_batch(engine: Engine, worker: Worker, name: str) -> None:
    put(engine, "a", "b", "c")
    a, b, c = worker.take()
    engine.run(released(b))

    assert engine.run(SETTLEMENTS[name](a, b, c)) == [True, False, True]
    assert state(engine, "b") is JobState.WAITING


@pytest.mark.parametrize("name", SETTLEMENTS)
@pytest.mark.parametrize("token", ["w1:1", "w1", "w1:", "w1:111", "w11:1", "w1:11 ", "", "w2:11"])
def test_a_token_fits_as_a_whole_or_not_at_all(
    engine: Engine, worker: Worker, raw: redis.Redis, name: str, token: str
) -> None:
    put(engine, "a")
    worker.number = 10
    job = worker.take_one()
    assert job.lease.token == "w1:11"  # noqa: S105  (no secret)
    before = contents(raw)

    assert engine.run(SETTLEMENTS[name](with_token(job, token))) == [False]
    assert contents(raw) == before


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_a_settlement_of_another_kind_is_no_repetition(engine: Engine, worker: Worker, name: str) -> None:
    """A worker that said `retry` cannot say `complete` under the same lease and be believed."""
    put(engine, "a")
    job = worker.take_one()
    engine.run(retried(job))

    alike = name in ("retry", "fail")  # they leave the same line; the first one stands
    assert engine.run(SETTLEMENTS[name](job)) == [alike]
    assert state(engine) is JobState.DELAYED


def test_an_error_that_quotes_a_token_is_no_settlement_under_it(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    stale = worker.take_one()
    engine.run(released(stale))
    quoting = JobError(type="X", message=stale.lease.token, stack_trace='[1,"w1:1",1,1,"completed",null]')
    engine.run(retry(QUEUE, [Retry(run=run_of(worker.take_one()), delay=BACKOFF, error=quoting)]))

    assert engine.run(SETTLEMENTS["complete"](stale)) == [False]


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_a_job_that_is_gone_is_settled_by_nobody(engine: Engine, worker: Worker, raw: redis.Redis, name: str) -> None:
    put(engine, "a")
    job = worker.take_one()
    raw.flushall()

    assert engine.run(SETTLEMENTS[name](job)) == [False]
    assert set(contents(raw)) <= {f"cabrank:{{{QUEUE}}}:wake"}
