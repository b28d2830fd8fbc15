"""enqueue: -> waiting | delayed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from server.engine.admit import BATCH_LIMIT, enqueue
from server.engine.engine import Engine
from server.engine.errors import IdempotencyKeyReused, InvalidValue, JobExists, UniqueConflict
from server.engine.job import JobState, NewJob, OnConflict, Unique
from server.engine.look import stats
from server.engine.store import Store
from server.engine.sweep import Retentions, prune
from tests.conftest import Clock
from tests.engine.hands import QUEUE, TASK, Worker, completed, contents, ids, look, new_job, put, retried, state, woken

DAY = timedelta(days=1)


def keyed(job_id: str, **fields: Any) -> NewJob:
    return new_job(job_id, idempotency_key="order-17", **fields)


def alone(job_id: str, on_conflict: OnConflict, *, lasts: timedelta | None = None, **fields: Any) -> NewJob:
    return new_job(job_id, unique=Unique(key="course-5", lasts=lasts, on_conflict=on_conflict), **fields)


def test_a_job_waits_with_all_that_it_brought(engine: Engine, clock: Clock) -> None:
    job = new_job(
        priority=7,
        max_attempts=9,
        timeout=timedelta(seconds=90),
        expires_at=clock.now + timedelta(hours=1),
        retention=timedelta(hours=2),
        unique=Unique(key="course-5"),
        labels={"tenant": "north", "art": "größe"},
    )

    (enqueued,) = put(engine, job)

    assert (enqueued.job_id, enqueued.created, enqueued.run_at, enqueued.at) == ("a", True, None, clock.now)
    found = look(engine)
    assert found.state is JobState.WAITING
    request = found.request
    assert (request.queue, request.id, request.task, request.payload) == (QUEUE, "a", TASK, job.payload)
    assert (request.priority, request.max_attempts, request.timeout) == (7, 9, job.timeout)
    assert (request.expires_at, request.retention, request.unique_key) == (job.expires_at, job.retention, "course-5")
    assert (request.labels, request.backoff, request.created_at) == (job.labels, job.backoff, clock.now)


def test_a_batch_keeps_its_order(engine: Engine, worker: Worker) -> None:
    put(engine, "c", "a", "b")
    put(engine, "0")

    assert ids(worker.take()) == ["c", "a", "b", "0"]


def test_a_full_batch_is_taken(engine: Engine) -> None:
    put(engine, *(f"j{n}" for n in range(BATCH_LIMIT)))

    assert engine.run(stats(QUEUE))[JobState.WAITING] == BATCH_LIMIT


@pytest.mark.parametrize("number", [0, BATCH_LIMIT + 1])
def test_a_batch_of_another_size_is_refused(engine: Engine, number: int) -> None:
    with pytest.raises(InvalidValue, match=r"^jobs must be 1 to 1000$"):
        engine.run(enqueue(QUEUE, [new_job()] * number))


def test_one_refused_job_keeps_its_whole_batch_out(engine: Engine, raw: redis.Redis) -> None:
    put(engine, new_job("taken"))
    before = contents(raw)
    batch: list[NewJob | str] = [*(f"j{n}" for n in range(400)), new_job("taken", payload=b"{}"), "last"]

    with pytest.raises(JobExists) as refusal:
        put(engine, *batch)

    assert (refusal.value.job_id, refusal.value.index) == ("taken", 400)
    assert contents(raw) == before


def test_a_higher_priority_goes_first_and_equals_in_their_order(engine: Engine, worker: Worker) -> None:
    priorities = {"low": -100, "a": 0, "b": 0, "high": 100, "c": 0, "higher": 1}
    put(engine, *(new_job(job_id, priority=priority) for job_id, priority in priorities.items()))

    assert ids(worker.take()) == ["high", "higher", "a", "b", "c", "low"]


def test_the_order_holds_where_ranks_are_at_their_largest(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    """A rank must stay an exact double: the last places of the lowest band."""
    raw.hset(f"cabrank:{{{QUEUE}}}:meta", "seq", 2**45 - 10)
    names = [f"j{n}" for n in (3, 1, 2, 0)]

    put(engine, *(new_job(name, priority=-100) for name in names), new_job("normal"))

    taken = worker.take()
    assert ids(taken) == ["normal", *names]
    engine.run(completed(taken[0]))
    assert ids(Worker(engine, name="w2").take()) == []


def test_the_order_holds_when_the_clock_has_run_out_of_places(engine: Engine, clock: Clock, worker: Worker) -> None:
    """A rank has room for the clock until 2042; after that places go on counting, and each stays in its band."""
    for year, name in ((2042, "a"), (2043, "b"), (2100, "c"), (2100, "d")):
        clock.now = clock.now.replace(year=year, month=12)
        put(engine, new_job(name, priority=-100), new_job(f"higher-{name}", priority=-99))

    assert ids(worker.take()) == [*(f"higher-{name}" for name in "abcd"), *"abcd"]


def test_the_order_holds_when_the_clock_goes_back(engine: Engine, clock: Clock, worker: Worker) -> None:
    for name in "abc":
        put(engine, name)
        clock.advance(days=-400 * 5)  # in the end before 2026, where places begin

    assert ids(worker.take()) == ["a", "b", "c"]


def test_a_delayed_job_is_due_after_its_delay(engine: Engine, clock: Clock, worker: Worker) -> None:
    (enqueued,) = put(engine, new_job(delay=timedelta(seconds=30)))

    assert enqueued.run_at == clock.now + timedelta(seconds=30) == look(engine).run_at
    assert state(engine) is JobState.DELAYED
    clock.advance(seconds=29.999)
    assert worker.take() == []
    clock.advance(milliseconds=1)
    assert ids(worker.take()) == ["a"]


def test_a_job_never_starts_before_its_run_at(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Times are kept in ms: a fraction of one counts up, so that nothing is early."""
    put(engine, new_job(run_at=clock.now + timedelta(milliseconds=10, microseconds=1)))

    clock.advance(milliseconds=10)
    assert worker.take() == []
    clock.advance(milliseconds=1)
    assert ids(worker.take()) == ["a"]


@pytest.mark.parametrize("run_at", [datetime(2029, 12, 31, tzinfo=UTC), datetime(1969, 7, 20, tzinfo=UTC)])
def test_a_run_at_in_the_past_means_at_once(engine: Engine, run_at: datetime) -> None:
    (enqueued,) = put(engine, new_job(run_at=run_at))

    assert enqueued.run_at is None
    assert state(engine) is JobState.WAITING


def test_an_expiry_before_1970_is_over_and_not_absent(engine: Engine, worker: Worker) -> None:
    put(engine, new_job(expires_at=datetime(1969, 7, 20, tzinfo=UTC)))

    assert worker.take() == []
    assert state(engine) is JobState.FAILED


def test_the_same_id_again_is_the_same_job(engine: Engine, raw: redis.Redis) -> None:
    put(engine, "a")
    before = contents(raw)

    (again,) = put(engine, "a")

    assert (again.job_id, again.created) == ("a", False)
    assert contents(raw) == before


@pytest.mark.parametrize(
    "other",
    [
        {"payload": b"{}"},
        {"payload": b' {"user_id": "u1"}'},
        {"task": "email.receipt"},
        {"priority": 1},
        {"delay": timedelta(seconds=1)},
        {"run_at": datetime(2031, 1, 1, tzinfo=UTC)},
        {"max_attempts": 1},
        {"timeout": timedelta(seconds=1)},
        {"expires_at": datetime(2031, 1, 1, tzinfo=UTC)},
        {"retention": timedelta(0)},
        {"unique": Unique(key="x")},
        {"labels": {"tenant": "north"}},
        {"masked": b"{}"},
    ],
)
def test_a_key_or_id_with_another_request_is_refused_and_the_first_untouched(
    engine: Engine, raw: redis.Redis, other: dict[str, Any]
) -> None:
    put(engine, keyed("a"))
    before = contents(raw)

    with pytest.raises(IdempotencyKeyReused) as by_key:
        put(engine, "first", keyed("b", **other))
    with pytest.raises(JobExists) as by_id:
        put(engine, "first", new_job("a", **other))

    assert (by_key.value.job_id, by_key.value.index) == (by_id.value.job_id, by_id.value.index) == ("a", 1)
    assert contents(raw) == before


def test_labels_in_another_order_are_the_same_request(engine: Engine) -> None:
    """A protobuf map has no order: a request that is sent again may bring its labels in another one."""
    put(engine, keyed("a", labels={"tenant": "north", "kind": "bulk"}))

    (again,) = put(engine, keyed("b", labels={"kind": "bulk", "tenant": "north"}))

    assert again.job_id == "a"


def test_the_same_idempotency_key_gives_the_same_job_without_a_second_one(engine: Engine, clock: Clock) -> None:
    put(engine, keyed("a"))
    clock.advance(DAY - timedelta(milliseconds=1))

    (again,) = put(engine, keyed("b"))

    assert (again.job_id, again.created) == ("a", False)
    assert state(engine, "b") is None


def test_the_key_answers_for_24_hours_also_when_the_job_is_gone(
    engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, keyed("a"))
    engine.run(completed(worker.take_one()))
    clock.advance(DAY - timedelta(milliseconds=1))
    engine.run(prune(QUEUE, Retentions()))
    raw.hdel(f"cabrank:{{{QUEUE}}}:jobs", "a")

    assert put(engine, keyed("b"))[0].job_id == "a"

    clock.advance(milliseconds=1)
    assert put(engine, keyed("b"))[0].job_id == "b"


def test_the_key_holds_while_its_job_lives_however_long_that_is(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, keyed("a", delay=timedelta(days=7)))
    for _ in range(6):
        clock.advance(DAY)
        engine.run(prune(QUEUE, Retentions()))

    assert put(engine, keyed("b", delay=timedelta(days=7)))[0].job_id == "a"

    clock.advance(DAY)
    engine.run(completed(worker.take_one()))
    assert put(engine, keyed("b", delay=timedelta(days=7)))[0].job_id == "b"


def test_a_key_for_a_job_that_was_there_by_its_id_is_claimed_as_well(engine: Engine) -> None:
    put(engine, "a")
    put(engine, keyed("a"))

    assert put(engine, keyed("b"))[0].job_id == "a"


def test_the_same_key_from_many_connections_at_once_is_one_job(store: Store) -> None:
    answers: list[str] = []

    def ask(number: int) -> None:
        with Engine(store) as engine:
            for n in range(25):
                answers.append(put(engine, keyed(f"j{number}-{n}"))[0].job_id)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 400
    assert len(set(answers)) == 1


def test_twins_within_a_batch_are_one_job(engine: Engine) -> None:
    by_id = put(engine, "a", "a")
    by_key = put(engine, keyed("b"), keyed("c"))
    by_unique = put(engine, alone("d", OnConflict.RETURN), alone("e", OnConflict.RETURN))

    for first, second in (by_id, by_key, by_unique):
        assert (first.job_id, first.created, second.created) == (second.job_id, True, False)
    assert engine.run(stats(QUEUE))[JobState.WAITING] == 3


def test_unlike_twins_within_a_batch_are_refused(engine: Engine, raw: redis.Redis) -> None:
    with pytest.raises(JobExists):
        put(engine, "a", new_job("a", priority=1))
    with pytest.raises(IdempotencyKeyReused):
        put(engine, keyed("a"), keyed("b", priority=1))
    with pytest.raises(UniqueConflict):
        put(engine, alone("a", OnConflict.RETURN), alone("b", OnConflict.REFUSE))

    assert contents(raw) == {}


def test_a_unique_key_returns_the_job_that_holds_it(engine: Engine, worker: Worker) -> None:
    put(engine, alone("a", OnConflict.RETURN))
    worker.take_one()

    (second,) = put(engine, alone("b", OnConflict.RETURN, priority=5))

    assert (second.job_id, second.created, second.replaced) == ("a", False, False)
    assert state(engine, "b") is None


def test_a_unique_key_refuses_where_that_is_asked(engine: Engine, raw: redis.Redis) -> None:
    put(engine, alone("a", OnConflict.RETURN))
    before = contents(raw)

    with pytest.raises(UniqueConflict, match=r"^job a holds the unique key$") as refusal:
        put(engine, "first", alone("b", OnConflict.REFUSE))

    assert (refusal.value.job_id, refusal.value.index) == ("a", 1)
    assert contents(raw) == before


def test_a_replaced_job_has_the_new_content_in_the_old_place(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, alone("a", OnConflict.REPLACE), "behind")
    created = clock.now
    clock.advance(seconds=5)

    new = alone("b", OnConflict.REPLACE, payload=b'{"user_id":"u2"}', labels={"tenant": "south"}, max_attempts=1)
    (answer,) = put(engine, new)

    assert (answer.job_id, answer.created, answer.replaced, answer.run_at) == ("a", False, True, None)
    request = look(engine).request
    assert (request.payload, request.labels, request.max_attempts) == (new.payload, new.labels, 1)
    assert request.created_at == created
    assert ids(worker.take()) == ["a", "behind"]


def test_a_replaced_delayed_job_keeps_its_time_and_says_so(engine: Engine, clock: Clock) -> None:
    put(engine, alone("a", OnConflict.REPLACE, delay=timedelta(seconds=30)))
    due = clock.now + timedelta(seconds=30)
    clock.advance(seconds=10)

    (answer,) = put(engine, alone("b", OnConflict.REPLACE))

    assert answer.run_at == due == look(engine).run_at


@pytest.mark.parametrize("first", [timedelta(0), timedelta(seconds=30)])
def test_a_replacement_with_a_start_of_its_own_moves_the_job_there(
    engine: Engine, clock: Clock, first: timedelta
) -> None:
    """So that a burst of changes is one job, once the changes have stopped."""
    put(engine, alone("a", OnConflict.REPLACE, delay=first))
    clock.advance(seconds=20)

    (later,) = put(engine, alone("b", OnConflict.REPLACE, delay=timedelta(seconds=30)))
    assert later.run_at == clock.now + timedelta(seconds=30) == look(engine).run_at

    (at_once,) = put(engine, alone("c", OnConflict.REPLACE, run_at=clock.now))
    assert at_once.run_at is None
    assert state(engine) is JobState.WAITING


def test_a_replacement_with_another_priority_stands_in_that_band(engine: Engine, worker: Worker) -> None:
    put(engine, alone("a", OnConflict.REPLACE), "b")

    put(engine, alone("c", OnConflict.REPLACE, priority=-1))

    assert ids(worker.take()) == ["b", "a"]


def test_a_running_job_cannot_be_replaced(engine: Engine, worker: Worker) -> None:
    put(engine, alone("a", OnConflict.REPLACE))
    worker.take_one()

    with pytest.raises(UniqueConflict):
        put(engine, alone("b", OnConflict.REPLACE))


def test_a_replacement_that_is_sent_again_hears_the_same_although_the_job_runs_by_now(
    engine: Engine, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, alone("a", OnConflict.REPLACE))
    (first,) = put(engine, alone("b", OnConflict.REPLACE))
    worker.take_one()
    before = contents(raw)

    assert put(engine, alone("b", OnConflict.REPLACE)) == [first]
    assert contents(raw) == before


def test_a_request_that_was_replaced_meanwhile_is_still_known_when_it_is_sent_again(
    engine: Engine, raw: redis.Redis
) -> None:
    put(engine, alone("a", OnConflict.REPLACE))
    put(engine, alone("b", OnConflict.REPLACE, payload=b"[2]"))
    before = contents(raw)

    (again,) = put(engine, alone("a", OnConflict.REPLACE))

    assert (again.job_id, again.created, again.replaced) == ("a", False, False)
    assert contents(raw) == before


def test_of_many_replacements_in_a_batch_the_last_one_counts_also_when_they_are_sent_again(
    engine: Engine, worker: Worker, raw: redis.Redis
) -> None:
    put(engine, alone("a", OnConflict.REPLACE), "b")
    batch = [
        alone("c", OnConflict.REPLACE, priority=5, delay=timedelta(seconds=5)),
        alone("d", OnConflict.REPLACE, idempotency_key="k", payload=b"[4]"),
    ]
    put(engine, *batch)
    before = contents(raw)

    put(engine, *batch)

    assert contents(raw) == before
    assert [(job.request.id, job.payload) for job in worker.take()] == [("a", b"[4]"), ("b", new_job().payload)]


def test_a_replacement_within_a_batch_leaves_one_job(engine: Engine, clock: Clock) -> None:
    first = alone("a", OnConflict.REPLACE)
    second = alone("b", OnConflict.REPLACE, payload=b"[2]", delay=timedelta(seconds=9))

    put(engine, first, second)

    assert look(engine).request.payload == b"[2]"
    assert look(engine).run_at == clock.now + timedelta(seconds=9)
    assert engine.run(stats(QUEUE))[JobState.WAITING] == 0


@pytest.mark.parametrize("masked", [b'"***"', None])
def test_secrets_are_replaced_as_well(engine: Engine, worker: Worker, raw: redis.Redis, masked: bytes | None) -> None:
    put(engine, alone("a", OnConflict.REPLACE, payload=b'"old"', masked=b'"***"'))

    put(engine, alone("b", OnConflict.REPLACE, payload=b'"new"', masked=masked))

    assert worker.take_one().payload == b'"new"'
    assert raw.hgetall(f"cabrank:{{{QUEUE}}}:secrets") == ({b"a": b'"new"'} if masked else {})


def test_a_unique_key_is_free_when_its_job_has_ended(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, alone("a", OnConflict.REFUSE))
    engine.run(retried(worker.take_one()))
    with pytest.raises(UniqueConflict):
        put(engine, alone("b", OnConflict.REFUSE))

    clock.advance(seconds=2)
    engine.run(completed(worker.take_one()))

    assert put(engine, alone("b", OnConflict.REFUSE))[0].created


def test_a_unique_key_with_a_time_holds_for_that_time_and_no_longer(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, alone("a", OnConflict.REFUSE, lasts=timedelta(seconds=10)))
    engine.run(completed(worker.take_one()))
    clock.advance(seconds=9.999)
    with pytest.raises(UniqueConflict):
        put(engine, alone("b", OnConflict.REFUSE))

    clock.advance(milliseconds=1)
    assert put(engine, alone("b", OnConflict.REFUSE))[0].created


def test_the_end_of_an_older_claim_does_not_free_a_newer_one(engine: Engine, clock: Clock) -> None:
    put(engine, alone("a", OnConflict.REFUSE, lasts=timedelta(seconds=10)))
    clock.advance(seconds=10)
    put(engine, alone("b", OnConflict.REFUSE))

    engine.run(prune(QUEUE, Retentions()))

    with pytest.raises(UniqueConflict):
        put(engine, alone("c", OnConflict.REFUSE))


def test_an_idle_queue_wakes_a_worker_and_a_busy_one_does_not(engine: Engine, raw: redis.Redis) -> None:
    put(engine, "a")
    assert woken(raw)
    put(engine, "b")
    assert not woken(raw)


def test_a_delayed_job_that_is_due_first_wakes_a_worker(engine: Engine, raw: redis.Redis) -> None:
    """Whoever waits for the next due job must learn that there is an earlier one."""
    put(engine, new_job("a", delay=timedelta(seconds=30)))
    assert woken(raw)
    put(engine, new_job("b", delay=timedelta(seconds=31)))
    assert not woken(raw)
    put(engine, new_job("c", delay=timedelta(seconds=29)))
    assert woken(raw)


def test_what_was_enqueued_is_counted_by_task(engine: Engine, raw: redis.Redis) -> None:
    put(engine, keyed("a"), new_job("b", task="email.receipt"), "c")
    put(engine, keyed("d"), "c")

    totals = raw.hgetall(f"cabrank:{{{QUEUE}}}:totals")
    assert totals == {b"enqueued:email.welcome": b"2", b"enqueued:email.receipt": b"1"}


def test_queues_of_one_server_know_nothing_of_each_other(engine: Engine) -> None:
    engine.run(enqueue("email", [keyed("a")]))
    engine.run(enqueue("sync", [keyed("a", queue="sync", payload=b"[]")]))

    assert engine.run(stats("email"))[JobState.WAITING] == 1
    assert engine.run(stats("sync"))[JobState.WAITING] == 1
