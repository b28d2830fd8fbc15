"""newest and changes: what happened in a queue, in its order, and nothing of it twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from server.engine.admit import cancel, enqueue
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import EventsLost, InvalidValue, JobExists
from server.engine.events import Change, Event, changes, newest
from server.engine.job import JobState, OnConflict, Unique
from server.engine.mend import hasten, remove, revive
from server.engine.steer import pause, resume
from server.engine.sweep import Retentions, promote, prune, reclaim
from server.engine.work import extend, note, reserve
from tests.conftest import Clock
from tests.engine.hands import (
    LEASE,
    QUEUE,
    TASK,
    Worker,
    completed,
    failed,
    new_job,
    put,
    released,
    retried,
    run_of,
    snoozed,
    stopped,
)

EVENTS = f"cabrank:{{{QUEUE}}}:events"
MOST_KEPT = 10_000
SECOND = timedelta(seconds=1)
WAITING, ACTIVE, DELAYED = JobState.WAITING, JobState.ACTIVE, JobState.DELAYED
COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED


def entered(state: JobState | None, *job_ids: str, task: str = TASK) -> Change:
    return Change(state=state, task=task if state else "", job_ids=job_ids)


def all_after(engine: Engine, cursor: str, *, limit: int = 100) -> list[Event]:
    found: list[Event] = []
    while events := engine.run(changes(QUEUE, found[-1].cursor if found else cursor, limit=limit)):
        assert len(events) <= limit
        found += events
    return found


def news(engine: Engine, cursor: str) -> list[Change]:
    return [change for event in all_after(engine, cursor) for change in event.changes]


Prepare = Callable[[Engine, Clock, Worker], Call[Any]]
UNIQUE = Unique(key="x", on_conflict=OnConflict.REPLACE)


def a_batch(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    other = new_job("d", task="email.receipt")
    return enqueue(QUEUE, [new_job("a"), new_job("b", delay=SECOND), new_job("c"), other])


def a_replacement(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, new_job(unique=UNIQUE))
    return enqueue(QUEUE, [new_job("b", unique=UNIQUE, delay=SECOND)])


def a_replacement_in_its_place(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, new_job(unique=UNIQUE))
    return enqueue(QUEUE, [new_job("b", unique=UNIQUE, payload=b"[2]")])


def a_reservation(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, new_job("due", delay=SECOND), new_job("late", expires_at=clock.now + SECOND, priority=1), "a")
    clock.advance(SECOND)
    return reserve(QUEUE, worker="w", number=1, want=9, lease=LEASE)


def a_promotion(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, new_job("due", delay=SECOND), new_job("late", expires_at=clock.now + SECOND))
    clock.advance(SECOND)
    return promote(QUEUE)


def settled(
    settle: Callable[..., Call[list[bool]]], *, asked_to_stop: bool = False, signalled: bool = False
) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, "a")
        job = worker.take_one()
        if asked_to_stop:
            engine.run(cancel(QUEUE, "a"))
        if signalled:
            engine.run(hasten(QUEUE, "a", active=True))
        return settle(job)

    return prepare


def late_release(*jobs: Any) -> Call[list[bool]]:
    return released(*jobs, delay=SECOND)


def lost(times: int) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, "a")
        for turn in range(times):
            if turn:
                engine.run(reclaim(QUEUE, gap=timedelta(days=1)))
            engine.run(extend(QUEUE, [run_of(worker.take_one())], lease=LEASE))
            clock.advance(LEASE)
        return reclaim(QUEUE, gap=timedelta(days=1))

    return prepare


def on_a_waiting_job(call: Call[Any]) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, "a")
        return call

    return prepare


def on_a_delayed_job(call: Call[Any]) -> Prepare:
    def prepare(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
        put(engine, new_job(delay=SECOND))
        return call

    return prepare


def a_second_chance(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, *"abc")
    engine.run(failed(*worker.take(2)))
    return revive(QUEUE, ["a", "b", "c"])


def a_sweep(engine: Engine, clock: Clock, worker: Worker) -> Call[Any]:
    put(engine, "a", "b")
    engine.run(completed(*worker.take()))
    clock.advance(days=2)
    return prune(QUEUE, Retentions())


def progress(*jobs: Any) -> Call[Any]:
    return note(jobs[0].lease, line="half")


def extension(*jobs: Any) -> Call[Any]:
    return extend(QUEUE, [run_of(job) for job in jobs], lease=LEASE)


TOLD: dict[str, tuple[Prepare, list[Change]]] = {
    "enqueue": (
        a_batch,
        [entered(DELAYED, "b"), entered(WAITING, "a", "c"), entered(WAITING, "d", task="email.receipt")],
    ),
    "enqueue that replaces": (a_replacement, [entered(DELAYED, "a")]),
    "enqueue that replaces in its place": (a_replacement_in_its_place, []),
    "reserve": (a_reservation, [entered(WAITING, "due"), entered(FAILED, "late"), entered(ACTIVE, "a", "due")]),
    "promote": (a_promotion, [entered(FAILED, "late"), entered(WAITING, "due")]),
    "complete": (settled(completed), [entered(COMPLETED, "a")]),
    "fail": (settled(failed), [entered(FAILED, "a")]),
    "retry": (settled(retried), [entered(DELAYED, "a")]),
    "retry of a signalled job": (settled(retried, signalled=True), [entered(WAITING, "a")]),
    "retry of a job to be stopped": (settled(retried, asked_to_stop=True), [entered(CANCELLED, "a")]),
    "snooze": (settled(snoozed), [entered(DELAYED, "a")]),
    "release": (settled(released), [entered(WAITING, "a")]),
    "release for later": (settled(late_release), [entered(DELAYED, "a")]),
    "stop": (settled(stopped), [entered(CANCELLED, "a")]),
    "cancel": (on_a_waiting_job(cancel(QUEUE, "a")), [entered(CANCELLED, "a")]),
    "reclaim": (lost(1), [entered(WAITING, "a")]),
    "reclaim of poison": (lost(3), [entered(FAILED, "a")]),
    "revive": (a_second_chance, [entered(WAITING, "a", "b")]),
    "hasten": (on_a_delayed_job(hasten(QUEUE, "a")), [entered(WAITING, "a")]),
    "remove": (on_a_waiting_job(remove(QUEUE, ["a", "nobody"])), [entered(None, "a")]),
    "prune": (a_sweep, [entered(None, "a", "b")]),
    # A job that stays where it is tells nothing.
    "extend": (settled(extension), []),
    "note": (settled(progress), []),
    "hasten of a waiting job": (on_a_waiting_job(hasten(QUEUE, "a")), []),
    "pause": (on_a_waiting_job(pause(QUEUE)), []),
    "resume": (on_a_waiting_job(resume(QUEUE)), []),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_call_tells_what_it_changed_in_the_order_it_happened_and_once(
    engine: Engine, clock: Clock, worker: Worker, name: str
) -> None:
    prepare, expected = TOLD[name]
    call = prepare(engine, clock, worker)
    cursor = engine.run(newest(QUEUE))

    engine.run(call)
    assert news(engine, cursor) == expected

    engine.run(call)
    assert news(engine, cursor) == expected


def test_a_refused_batch_tells_nothing(engine: Engine) -> None:
    put(engine, "a")
    cursor = engine.run(newest(QUEUE))

    with pytest.raises(JobExists):
        put(engine, "b", new_job("a", payload=b"[2]"))

    assert news(engine, cursor) == []


def test_the_story_of_a_job_is_told_from_its_beginning_to_its_end(engine: Engine, clock: Clock, worker: Worker) -> None:
    cursor = engine.run(newest(QUEUE))

    put(engine, "a")
    engine.run(retried(worker.take_one()))
    clock.advance(seconds=2)
    engine.run(completed(worker.take_one()))
    engine.run(remove(QUEUE, ["a"]))

    assert [change.state for change in news(engine, cursor)] == [
        *(WAITING, ACTIVE, DELAYED, WAITING, ACTIVE, COMPLETED, None)
    ]


def test_a_thousand_jobs_of_one_call_are_told_in_few_events(engine: Engine, worker: Worker) -> None:
    names = [f"j{n}" for n in range(1000)]
    cursor = engine.run(newest(QUEUE))

    put(engine, *names)

    events = engine.run(changes(QUEUE, cursor))
    assert [len(event.changes[0].job_ids) for event in events] == [100] * 10
    assert [job_id for event in events for change in event.changes for job_id in change.job_ids] == names


def test_the_cursor_of_now_comes_after_all_that_was(engine: Engine) -> None:
    put(engine, "a")

    cursor = engine.run(newest(QUEUE))

    assert engine.run(changes(QUEUE, cursor)) == []
    put(engine, "b")
    assert news(engine, cursor) == [entered(WAITING, "b")]


def test_a_queue_in_which_nothing_happened_has_a_cursor_too(engine: Engine) -> None:
    cursor = engine.run(newest(QUEUE))
    assert engine.run(newest(QUEUE)) == cursor
    assert engine.run(changes(QUEUE, cursor)) == []

    put(engine, "a")

    assert news(engine, cursor) == [entered(WAITING, "a")]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_whoever_reads_a_few_at_a_time_reads_the_same(engine: Engine, worker: Worker, limit: int) -> None:
    cursor = engine.run(newest(QUEUE))
    for name in "abc":
        put(engine, name)
        engine.run(completed(worker.take_one()))

    found = all_after(engine, cursor, limit=limit)

    assert len(found) == 9
    assert found == engine.run(changes(QUEUE, cursor))
    assert engine.run(changes(QUEUE, found[3].cursor)) == found[4:]


def test_an_event_has_the_time_of_redis(engine: Engine) -> None:
    cursor = engine.run(newest(QUEUE))
    put(engine, "a")

    (event,) = engine.run(changes(QUEUE, cursor))

    assert abs(event.at - datetime.now(UTC)) < timedelta(hours=1)


def test_who_fell_behind_what_is_kept_is_told_so(engine: Engine, raw: redis.Redis) -> None:
    cursors = [engine.run(newest(QUEUE))]
    for name in "abc":
        put(engine, name)
        cursors.append(engine.run(newest(QUEUE)))

    raw.xtrim(EVENTS, maxlen=2, approximate=False)

    for cursor in cursors[:2]:
        with pytest.raises(EventsLost, match=r"^changes of queue email after this cursor are gone: "):
            engine.run(changes(QUEUE, cursor))
    assert news(engine, cursors[2]) == [entered(WAITING, "c")]


def after_this_ms(raw: redis.Redis) -> None:
    """In a stream that begins anew, an event of the same millisecond would have the id of the one that was lost."""

    def now_ms() -> int:
        seconds, micros = raw.time()
        return seconds * 1000 + micros // 1000

    began = now_ms()
    while now_ms() <= began:
        pass


def test_who_stands_at_the_last_event_that_was_lost_is_told_so_too(engine: Engine, raw: redis.Redis) -> None:
    """Nothing tells whether others went with it."""
    put(engine, "a")
    cursor = engine.run(newest(QUEUE))

    raw.delete(EVENTS)

    with pytest.raises(EventsLost):
        engine.run(changes(QUEUE, cursor))
    after_this_ms(raw)
    put(engine, "b")
    with pytest.raises(EventsLost):
        engine.run(changes(QUEUE, cursor))


@pytest.mark.parametrize("cursor", ["0-0", "1-1", f"{10**19 - 1}-{10**19 - 1}"])
def test_a_cursor_that_was_never_given_out_is_lost(engine: Engine, cursor: str) -> None:
    put(engine, "a")

    with pytest.raises(EventsLost):
        engine.run(changes(QUEUE, cursor))


@pytest.mark.parametrize(
    "cursor", ["", "-", "+", "$", "1", "1-", "1-2-3", "a-1", " 1-1", "1-1\n", f"{2**64}-0", f"0-{2**64}"]
)
def test_what_cannot_be_a_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidValue, match=r"^cursor must be one that an answer of this rpc held$"):
        changes(QUEUE, cursor)


def test_old_news_make_room(engine: Engine, raw: redis.Redis) -> None:
    pipeline = raw.pipeline(transaction=False)
    for n in range(MOST_KEPT + 500):
        pipeline.xadd(EVENTS, {f"waiting {TASK}": f"old{n}"})
    pipeline.execute()

    put(engine, "a")

    # By whole nodes of the stream: exactly so many would cost more than it is worth.
    assert MOST_KEPT <= raw.xlen(EVENTS) <= MOST_KEPT + 100


def test_each_queue_has_news_of_its_own(engine: Engine) -> None:
    cursor = engine.run(newest(QUEUE))
    engine.run(newest("sync"))

    engine.run(enqueue("sync", [new_job(queue="sync")]))

    assert news(engine, cursor) == []
