"""attend, leave and crew: the workers of a queue, as they say it themselves."""

from __future__ import annotations

import pytest

from server.engine.engine import Engine
from server.engine.errors import InvalidValue
from server.engine.look import SILENCE, Crew, crew
from server.engine.sweep import Retentions, prune
from server.engine.work import attend, leave
from tests.conftest import Clock
from tests.engine.hands import QUEUE, TASK, Worker, completed, put


def introduce(engine: Engine, clock: Clock, name: str = "w1", *, threads: int = 8) -> None:
    engine.run(attend(QUEUE, name, tasks=[TASK, "email.receipt"], threads=threads, started_at=clock.now))


def test_a_worker_is_what_it_says_of_itself(engine: Engine, clock: Clock) -> None:
    introduce(engine, clock)

    (found,) = engine.run(crew(QUEUE))

    assert (found.name, found.seen_at, found.active) == ("w1", clock.now, 0)
    assert found.crew == Crew(tasks=(TASK, "email.receipt"), threads=8, started_at=clock.now)


def test_one_that_has_only_reserved_has_not_introduced_itself(engine: Engine, clock: Clock, worker: Worker) -> None:
    worker.reserve()

    (found,) = engine.run(crew(QUEUE))

    assert (found.name, found.crew) == ("w1", None)


def test_the_last_word_holds(engine: Engine, clock: Clock) -> None:
    introduce(engine, clock)
    clock.advance(seconds=5)
    introduce(engine, clock, threads=2)

    (found,) = engine.run(crew(QUEUE))

    assert found.seen_at == clock.now
    assert found.crew
    assert found.crew.threads == 2


def test_each_holds_its_own_jobs(engine: Engine, clock: Clock, worker: Worker, other_worker: Worker) -> None:
    put(engine, *"abcd")
    jobs = worker.take(3)
    other_worker.take(1)
    engine.run(completed(jobs[0]))

    assert {each.name: each.active for each in engine.run(crew(QUEUE))} == {"w1": 2, "w2": 1}


def test_one_that_falls_silent_is_gone_until_it_speaks_again(engine: Engine, clock: Clock) -> None:
    introduce(engine, clock)
    clock.advance(SILENCE)
    assert len(engine.run(crew(QUEUE))) == 1
    clock.advance(milliseconds=1)
    assert engine.run(crew(QUEUE)) == []

    introduce(engine, clock)
    assert len(engine.run(crew(QUEUE))) == 1


def test_one_that_leaves_is_gone_at_once(engine: Engine, clock: Clock, worker: Worker, other_worker: Worker) -> None:
    put(engine, "a")
    for each in (worker, other_worker):
        introduce(engine, clock, each.name)
        each.reserve()

    engine.run(leave(QUEUE, "w1"))

    assert [each.name for each in engine.run(crew(QUEUE))] == ["w2"]


def test_who_leaves_with_a_job_in_its_hands_may_settle_it_all_the_same(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    job = worker.take_one()
    engine.run(leave(QUEUE, "w1"))

    assert engine.run(completed(job)) == [True]


def test_after_a_day_nothing_is_left_of_one_that_vanished(engine: Engine, clock: Clock) -> None:
    introduce(engine, clock)
    clock.advance(hours=24)
    engine.run(prune(QUEUE, Retentions()))
    clock.advance(hours=-24)  # to look at what is there still

    assert engine.run(crew(QUEUE)) == []


def test_the_workers_of_another_queue_are_others(engine: Engine, clock: Clock) -> None:
    introduce(engine, clock)

    assert engine.run(crew("sync")) == []


def test_a_name_that_no_lease_could_hold_is_refused(clock: Clock) -> None:
    with pytest.raises(InvalidValue, match=r"^worker must be"):
        attend(QUEUE, "a b", tasks=[], threads=1, started_at=clock.now)
    with pytest.raises(InvalidValue, match=r"^worker must be"):
        leave(QUEUE, "a b")
