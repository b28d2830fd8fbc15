"""cancel: waiting | delayed -> cancelled; an active job is asked to stop."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.errors import JobInState, JobNotFound
from server.engine.job import JobState
from tests.conftest import Clock
from tests.engine.hands import QUEUE, Settle, Worker, completed, failed, look, new_job, put, state


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(days=10)])
def test_a_job_that_has_not_begun_is_cancelled_at_once(
    engine: Engine, clock: Clock, worker: Worker, delay: timedelta
) -> None:
    put(engine, new_job(delay=delay))
    clock.advance(seconds=1)

    assert engine.run(cancel(QUEUE, "a", 'who "asked"\n')) is JobState.CANCELLED

    found = look(engine)
    assert (found.state, found.ended_at, found.cancel_reason) == (JobState.CANCELLED, clock.now, 'who "asked"\n')
    clock.advance(days=11)
    assert worker.take() == []


def test_a_running_job_goes_on_and_is_asked_to_stop(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    worker.take_one()

    assert engine.run(cancel(QUEUE, "a", "no longer wanted")) is JobState.ACTIVE

    found = look(engine)
    assert (found.state, found.cancel_requested, found.cancel_reason) == (JobState.ACTIVE, True, "no longer wanted")


def test_the_first_reason_stands(engine: Engine, worker: Worker) -> None:
    put(engine, "a", "b")
    worker.take_one()
    for job_id in ("a", "b"):
        engine.run(cancel(QUEUE, job_id, "first"))
        engine.run(cancel(QUEUE, job_id, "second"))

    assert (look(engine, "a").cancel_reason, look(engine, "b").cancel_reason) == ("first", "first")


@pytest.mark.parametrize(("settle", "ended"), [(completed, "completed"), (failed, "failed")])
def test_a_job_that_has_ended_cannot_be_cancelled(engine: Engine, worker: Worker, settle: Settle, ended: str) -> None:
    put(engine, "a")
    engine.run(settle(worker.take_one()))

    with pytest.raises(JobInState, match=f"^job a is {ended}$") as refusal:
        engine.run(cancel(QUEUE, "a"))

    assert refusal.value.state == ended == state(engine)


def test_an_unknown_job_cannot_be_cancelled(engine: Engine) -> None:
    with pytest.raises(JobNotFound, match=r"^queue email has no job a$"):
        engine.run(cancel(QUEUE, "a"))
