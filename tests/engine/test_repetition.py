"""Every transition may run twice with the same arguments: drivers send again what they got no answer to."""

from __future__ import annotations

import pytest
import redis

from server.engine import script
from server.engine.admit import get
from server.engine.engine import Engine
from server.engine.work import note
from tests.conftest import Clock
from tests.engine.hands import QUEUE, SETTLEMENTS, Worker, contents, put
from tests.engine.transitions import READING, SECOND, TRANSITIONS, a_mixed_batch

# A second later these do what a second later is right: a lease runs from now, a sweep was now.
OF_THEIR_MOMENT = {"extend", "note", "promote", "reclaim", "prune", "attend"}


def test_every_transition_is_tried_here() -> None:
    assert {name.split()[0] for name in TRANSITIONS} == set(script.names())


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_second_time_changes_nothing(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis, name: str
) -> None:
    call = TRANSITIONS[name](engine, clock, worker)
    untouched = contents(raw)
    engine.run(call)
    once = contents(raw)
    assert (once == untouched) == (name in READING)

    if name.split(maxsplit=1)[0] not in OF_THEIR_MOMENT:
        clock.advance(milliseconds=20)
    engine.run(call)

    assert contents(raw) == once


# A release leaves nothing to be recognised by, a removal nothing at all, and a sweep finds nothing left to do.
ANSWERS_OTHERWISE = {"enqueue", "release", "remove", "promote", "reclaim", "prune"}


@pytest.mark.parametrize("name", [name for name in TRANSITIONS if name.split()[0] not in ANSWERS_OTHERWISE])
def test_a_second_time_answers_alike(engine: Engine, clock: Clock, worker: Worker, name: str) -> None:
    call = TRANSITIONS[name](engine, clock, worker)

    assert engine.run(call) == engine.run(call)


def test_an_enqueue_that_is_sent_again_names_the_same_jobs(engine: Engine, clock: Clock, worker: Worker) -> None:
    call = a_mixed_batch(engine, clock, worker)
    first = engine.run(call)
    clock.advance(SECOND)

    assert [job.job_id for job in engine.run(call)] == [job.job_id for job in first]
    assert [job.created for job in first] == [True, True, False, False, False]


def test_a_log_line_may_stand_twice(engine: Engine, worker: Worker) -> None:
    """The one exception, and a harmless one: a line costs no memory of who wrote it."""
    put(engine, "a")
    call = note(worker.take_one().lease, line="sent")
    engine.run(call)
    engine.run(call)

    assert len(engine.run(get(QUEUE, "a")).logs) == 2


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_a_settlement_that_is_sent_again_is_known_while_another_worker_has_the_job(
    engine: Engine, clock: Clock, worker: Worker, other_worker: Worker, name: str, raw: redis.Redis
) -> None:
    """Its answer was lost, and by now the next attempt runs: that one is not disturbed."""
    put(engine, "a")
    call = SETTLEMENTS[name](worker.take_one())
    engine.run(call)
    clock.advance(seconds=9)
    other_worker.take()
    before = contents(raw)

    assert engine.run(call) == [name != "release"]
    assert contents(raw) == before
