"""revive: failed -> waiting, with all attempts anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
import redis

from server.engine.admit import cancel
from server.engine.engine import Engine
from server.engine.errors import EngineError, InvalidValue, JobInState, JobNotFound, SecretsErased, UniqueConflict
from server.engine.job import AttemptOutcome, FailureReason, JobState, OnConflict, Unique
from server.engine.look import stats
from server.engine.mend import MEND_LIMIT, revive
from server.engine.sweep import Retention, Retentions, promote, prune, reclaim
from server.engine.work import extend
from tests.conftest import Clock
from tests.engine.hands import (
    BACKOFF,
    LEASE,
    QUEUE,
    SETTLEMENTS,
    TASK,
    Worker,
    completed,
    contents,
    failed,
    ids,
    keys_that_hold,
    look,
    new_job,
    put,
    retried,
    run_of,
    state,
    woken,
)

UNIQUE = Unique(key="course-5")


def fail_all(engine: Engine, worker: Worker) -> None:
    engine.run(failed(*worker.take()))


def revived(engine: Engine, *job_ids: str, dry: bool = False) -> Sequence[EngineError | None]:
    return engine.run(revive(QUEUE, job_ids, dry=dry))


def the_refusal(engine: Engine, job_id: str = "a") -> EngineError:
    (refusal,) = revived(engine, job_id)
    assert refusal is not None
    return refusal


def test_a_failed_job_waits_again_and_keeps_what_it_was_enqueued_with(
    engine: Engine, clock: Clock, worker: Worker
) -> None:
    put(engine, new_job(priority=7, labels={"tenant": "north"}, retention=timedelta(hours=1)))
    before = look(engine).request
    fail_all(engine, worker)
    clock.advance(seconds=9)

    assert revived(engine, "a") == [None]

    found = look(engine)
    assert found.request == before
    assert (found.state, found.failure, found.ended_at) == (JobState.WAITING, None, None)


def test_it_has_all_its_attempts_anew_and_those_before_on_record(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, "a")
    engine.run(retried(worker.take_one()))
    clock.advance(BACKOFF)
    fail_all(engine, worker)
    revived(engine, "a")

    job = worker.take_one()

    assert (job.attempt, job.spent.failures, job.spent.lost, job.spent.retries) == (1, 0, 0, 1)
    assert [(each.number, each.outcome) for each in look(engine).attempts] == [
        (1, AttemptOutcome.FAILED),
        (2, AttemptOutcome.FAILED),
        (1, None),
    ]
    engine.run(completed(job))
    assert len(look(engine).attempts) == 3


def test_every_retry_is_counted(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    for _ in range(3):
        fail_all(engine, worker)
        revived(engine, "a")

    assert look(engine).spent.retries == 3
    assert engine.run(stats(QUEUE)).totals.retried == {TASK: 3}


def test_lost_leases_are_forgiven_as_well(engine: Engine, clock: Clock, worker: Worker) -> None:
    """A poison job gets its three losses anew, and is no suspect until the first of them."""
    put(engine, "a")
    for _ in range(3):
        engine.run(extend(QUEUE, [run_of(worker.take_one())], lease=LEASE))
        clock.advance(LEASE)
        engine.run(reclaim(QUEUE, gap=timedelta(days=1)))
    failure = look(engine).failure
    assert failure
    assert failure.reason is FailureReason.POISON

    revived(engine, "a")
    put(engine, "b")

    assert ids(worker.take()) == ["a", "b"]


def test_it_stands_at_the_end_of_its_band(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job("a", priority=3))
    fail_all(engine, worker)
    put(engine, "normal", new_job("b", priority=3))
    revived(engine, "a")
    put(engine, new_job("c", priority=3))

    assert ids(worker.take()) == ["b", "a", "c", "normal"]


def test_an_expiry_that_is_past_is_lifted(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(expires_at=clock.now + timedelta(seconds=1), payload=b'"line\nbreak"'))
    clock.advance(seconds=1)
    engine.run(promote(QUEUE))
    failure = look(engine).failure
    assert failure
    assert failure.reason is FailureReason.EXPIRED

    assert revived(engine, "a") == [None]

    clock.advance(days=1)
    engine.run(promote(QUEUE))
    job = worker.take_one()
    assert (job.request.expires_at, job.payload) == (None, b'"line\nbreak"')


def test_an_expiry_to_come_stays(engine: Engine, clock: Clock, worker: Worker) -> None:
    put(engine, new_job(expires_at=clock.now + timedelta(seconds=9)))
    fail_all(engine, worker)

    revived(engine, "a")

    clock.advance(seconds=9)
    assert worker.take() == []
    assert state(engine) is JobState.FAILED


def test_its_unique_key_is_its_own_again_until_it_ends(engine: Engine, worker: Worker) -> None:
    put(engine, new_job(unique=UNIQUE))
    fail_all(engine, worker)
    revived(engine, "a")

    (second,) = put(engine, new_job("b", unique=UNIQUE))
    assert (second.job_id, second.created) == ("a", False)
    engine.run(completed(worker.take_one()))
    assert put(engine, new_job("c", unique=UNIQUE))[0].created


def test_a_unique_key_that_another_job_holds_refuses_it(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, new_job(unique=UNIQUE))
    fail_all(engine, worker)
    put(engine, new_job("b", unique=UNIQUE))
    before = contents(raw)

    refusal = the_refusal(engine)

    assert isinstance(refusal, UniqueConflict)
    assert refusal.job_id == "b"
    assert contents(raw) == before


def test_a_claim_that_has_run_out_is_no_claim(engine: Engine, clock: Clock, worker: Worker) -> None:
    """Also where nobody has pruned it: the job that goes back is the only one that may live with this key."""
    put(engine, new_job("a", unique=UNIQUE))
    fail_all(engine, worker)
    put(engine, new_job("b", unique=Unique(key=UNIQUE.key, lasts=timedelta(seconds=9))))
    engine.run(completed(worker.take_one()))
    clock.advance(seconds=9)

    assert revived(engine, "a") == [None]
    engine.run(prune(QUEUE, Retentions()))

    (other,) = put(engine, new_job("c", unique=UNIQUE))
    assert (other.job_id, other.created) == ("a", False)


def test_a_claim_of_its_own_with_a_time_goes_on(engine: Engine, clock: Clock, worker: Worker) -> None:
    unique = Unique(key="once", lasts=timedelta(seconds=9))
    put(engine, new_job(unique=unique))
    fail_all(engine, worker)

    assert revived(engine, "a") == [None]

    assert put(engine, new_job("b", unique=unique))[0].job_id == "a"
    clock.advance(seconds=9)
    assert put(engine, new_job("b", unique=unique))[0].created


def test_of_two_with_the_same_unique_key_the_first_goes_back(engine: Engine, worker: Worker) -> None:
    for job_id in "ab":
        put(engine, new_job(job_id, unique=UNIQUE))
        fail_all(engine, worker)
    rehearsed = revived(engine, "a", "b", dry=True)

    answers = revived(engine, "a", "b")

    for first, second in (rehearsed, answers):
        assert first is None
        assert isinstance(second, UniqueConflict)
        assert second.job_id == "a"
    assert (state(engine, "a"), state(engine, "b")) == (JobState.WAITING, JobState.FAILED)


def test_a_job_whose_secrets_are_erased_cannot_run_again(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, new_job(payload=b'"code"', masked=b'"***"'))
    fail_all(engine, worker)
    before = contents(raw)

    assert isinstance(the_refusal(engine), SecretsErased)
    assert contents(raw) == before


@pytest.mark.parametrize("wrong", [each for each in JobState if each is not JobState.FAILED])
def test_another_state_is_named(engine: Engine, worker: Worker, wrong: JobState) -> None:
    put(engine, new_job(delay=BACKOFF if wrong is JobState.DELAYED else timedelta(0)))
    if wrong is JobState.CANCELLED:
        engine.run(cancel(QUEUE, "a"))
    elif wrong in (JobState.ACTIVE, JobState.COMPLETED):
        job = worker.take_one()
        if wrong is JobState.COMPLETED:
            engine.run(completed(job))
    assert state(engine) is wrong

    refusal = the_refusal(engine)

    assert isinstance(refusal, JobInState)
    advice = ": promote it, and it starts now" if wrong is JobState.DELAYED else ""
    assert str(refusal) == f"job a is {wrong}{advice}"


def test_an_unknown_job_is_not_found(engine: Engine) -> None:
    assert isinstance(the_refusal(engine, "nobody"), JobNotFound)


def test_one_that_cannot_go_back_keeps_no_other(engine: Engine, worker: Worker) -> None:
    put(engine, *"abc")
    engine.run(failed(*worker.take(2)))

    first, second, third, fourth = revived(engine, "a", "c", "nobody", "b")

    assert (first, fourth) == (None, None)
    assert isinstance(second, JobInState)
    assert isinstance(third, JobNotFound)
    assert ids(worker.take()) == ["c", "a", "b"]


def test_a_job_that_is_named_twice_goes_back_once(engine: Engine, worker: Worker) -> None:
    put(engine, "a")
    fail_all(engine, worker)

    assert revived(engine, "a", "a") == [None, None]

    assert look(engine).spent.retries == 1
    assert ids(worker.take()) == ["a"]


def test_a_rehearsal_tells_and_changes_nothing(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, new_job("a", unique=UNIQUE), new_job("secret", payload=b'"code"', masked=b'"***"'), "b")
    engine.run(failed(*worker.take(2)))
    before = contents(raw)

    first, second, third, fourth = revived(engine, "a", "secret", "b", "nobody", dry=True)

    assert first is None
    assert isinstance(second, SecretsErased)
    assert isinstance(third, JobInState)
    assert isinstance(fourth, JobNotFound)
    assert contents(raw) == before


def test_sent_again_when_the_job_has_failed_once_more_it_changes_nothing(
    engine: Engine, worker: Worker, raw: redis.Redis
) -> None:
    """Its answer was lost, and the driver is slow: the job had its second chance, and nobody asked for a third."""
    put(engine, "a")
    fail_all(engine, worker)
    call = revive(QUEUE, ["a"])
    engine.run(call)
    fail_all(engine, worker)
    before = contents(raw)

    assert engine.run(call) == [None]
    assert contents(raw) == before
    assert revived(engine, "a") == [None]


def test_nothing_of_its_end_is_left(engine: Engine, clock: Clock, worker: Worker, raw: redis.Redis) -> None:
    """Neither its failure nor a retention of its own: prune leaves it alone, and it is kept anew from its next end."""
    put(engine, new_job(retention=timedelta(hours=1)))
    fail_all(engine, worker)
    revived(engine, "a")
    assert not keys_that_hold(raw, "a") & {"failed", "kept", "outcomes"}
    clock.advance(hours=2)
    nothing = Retention(age=timedelta(0), count=0)
    engine.run(prune(QUEUE, Retentions(completed=nothing, failed=nothing, cancelled=nothing)))
    assert state(engine) is JobState.WAITING

    engine.run(completed(worker.take_one()))
    assert (look(engine).failure, look(engine).result) == (None, None)
    engine.run(prune(QUEUE, Retentions()))
    assert state(engine) is JobState.COMPLETED
    clock.advance(hours=1)
    assert engine.run(prune(QUEUE, Retentions())).gone == 1


def test_a_worker_that_settled_it_before_cannot_settle_it_again(
    engine: Engine, worker: Worker, other_worker: Worker, raw: redis.Redis
) -> None:
    put(engine, "a")
    stale = worker.take_one()
    engine.run(failed(stale))
    revived(engine, "a")
    other_worker.take_one()
    before = contents(raw)

    assert engine.run(failed(stale)) == [True]  # the answer to a repetition
    assert engine.run(completed(stale)) == [False]
    assert contents(raw) == before


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_its_next_attempt_ends_like_any_other(engine: Engine, worker: Worker, name: str) -> None:
    put(engine, new_job(unique=UNIQUE))
    fail_all(engine, worker)
    revived(engine, "a")
    job = worker.take_one()

    assert engine.run(SETTLEMENTS[name](job)) == [True]
    assert state(engine) is not JobState.ACTIVE


def test_it_wakes_a_worker(engine: Engine, worker: Worker, raw: redis.Redis) -> None:
    put(engine, "a")
    fail_all(engine, worker)
    woken(raw)

    revived(engine, "a")

    assert woken(raw)


def test_it_can_be_replaced_where_it_waits(engine: Engine, worker: Worker) -> None:
    put(engine, new_job(unique=UNIQUE))
    fail_all(engine, worker)
    revived(engine, "a")
    replacing = new_job("b", payload=b"[2]", unique=Unique(key=UNIQUE.key, on_conflict=OnConflict.REPLACE))

    assert put(engine, replacing)[0].replaced
    assert worker.take_one().payload == b"[2]"


def test_a_thousand_go_back_at_once_in_their_order(engine: Engine, worker: Worker) -> None:
    names = [f"j{n}" for n in range(MEND_LIMIT)]
    put(engine, *names)
    engine.run(failed(*worker.take(MEND_LIMIT)))

    assert revived(engine, *reversed(names)) == [None] * MEND_LIMIT

    assert ids(worker.take(MEND_LIMIT)) == [*reversed(names)]


@pytest.mark.parametrize("number", [0, MEND_LIMIT + 1])
def test_none_and_too_many_are_refused(number: int) -> None:
    with pytest.raises(InvalidValue, match=r"^job_ids must be 1 to 1,000$"):
        revive(QUEUE, ["a"] * number)
