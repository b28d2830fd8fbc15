"""What is done to one job: retry, remove, promote."""

from __future__ import annotations

import pytest

from server.admin import Admin
from server.catalog import QueueNotFound
from server.engine.errors import JobInState, JobNotFound, SecretsErased, UniqueConflict
from server.engine.job import AttemptOutcome, JobState, Unique
from server.engine.look import stats
from tests.admin.hands import LATER, place
from tests.conftest import Clock
from tests.engine.hands import ERROR, QUEUE, Worker, failed, ids, look, new_job, put, retried, snoozed, state

NOT_FAILED = [each for each in JobState if each is not JobState.FAILED]
NEITHER = [each for each in JobState if each not in (JobState.WAITING, JobState.DELAYED)]


async def test_a_retried_job_keeps_what_it_is_and_what_went_wrong_and_gets_all_attempts_anew(
    admin: Admin, clock: Clock, worker: Worker
) -> None:
    created = clock.now
    put(worker.engine, new_job("a", priority=7, max_attempts=2, labels={"course": "7"}))
    worker.engine.run(snoozed(worker.take_one()))
    clock.advance(seconds=2)
    worker.engine.run(retried(worker.take_one()))
    clock.advance(seconds=2)
    worker.engine.run(failed(worker.take_one()))
    clock.advance(LATER)

    job = await admin.jobs.retry(QUEUE, "a")

    assert (job.id, job.state, job.request.created_at) == ("a", JobState.WAITING, created)
    assert (job.request.priority, job.request.labels) == (7, {"course": "7"})
    assert (job.spent.failures, job.spent.snoozes, job.spent.retries) == (0, 0, 1)
    assert (job.failure, job.ended_at) == (None, None)
    outcomes = [attempt.outcome for attempt in job.attempts]
    assert outcomes == [AttemptOutcome.SNOOZED, AttemptOutcome.FAILED, AttemptOutcome.FAILED]
    assert job.attempts[-1].error == ERROR
    assert worker.take_one().attempt == 1
    assert worker.engine.run(stats(QUEUE)).totals.retried == {"email.welcome": 1}


async def test_a_retried_job_stands_at_the_end_of_those_of_its_priority(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, ["a"])
    put(worker.engine, "b", new_job("idle", priority=-1))

    await admin.jobs.retry(QUEUE, "a")

    assert ids(worker.take()) == ["b", "a", "idle"]


async def test_an_expiry_that_is_past_is_lifted_and_one_to_come_stays(
    admin: Admin, clock: Clock, worker: Worker
) -> None:
    ahead = clock.now + 2 * LATER
    place(worker, JobState.FAILED, [new_job("past", expires_at=clock.now + LATER), new_job("ahead", expires_at=ahead)])
    clock.advance(LATER)

    past, later = await admin.jobs.retry(QUEUE, "past"), await admin.jobs.retry(QUEUE, "ahead")

    assert (past.request.expires_at, later.request.expires_at) == (None, ahead)
    assert ids(worker.take()) == ["past", "ahead"]


@pytest.mark.parametrize("wrong", NOT_FAILED)
async def test_only_a_failed_job_is_retried(admin: Admin, worker: Worker, wrong: JobState) -> None:
    place(worker, wrong, ["a"])

    with pytest.raises(JobInState) as refusal:
        await admin.jobs.retry(QUEUE, "a")

    assert refusal.value.state == wrong
    assert state(worker.engine) is wrong


async def test_a_job_that_failed_again_is_retried_again(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, ["a"])
    await admin.jobs.retry(QUEUE, "a")
    with pytest.raises(JobInState):
        await admin.jobs.retry(QUEUE, "a")
    worker.engine.run(failed(worker.take_one()))

    assert (await admin.jobs.retry(QUEUE, "a")).spent.retries == 2


async def test_a_job_whose_secrets_are_erased_is_not_retried(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, [new_job("a", payload=b'{"code":"123"}', masked=b'{"code":"***"}')])

    with pytest.raises(SecretsErased):
        await admin.jobs.retry(QUEUE, "a")


async def test_a_job_is_not_retried_while_another_holds_its_unique_key(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, [new_job("a", unique=Unique(key="mine"))])
    put(worker.engine, new_job("b", unique=Unique(key="mine")))

    with pytest.raises(UniqueConflict) as refusal:
        await admin.jobs.retry(QUEUE, "a")
    assert refusal.value.job_id == "b"

    await admin.jobs.remove(QUEUE, "b")
    assert (await admin.jobs.retry(QUEUE, "a")).state is JobState.WAITING
    assert not put(worker.engine, new_job("c", unique=Unique(key="mine")))[0].created


@pytest.mark.parametrize("where", [each for each in JobState if each is not JobState.ACTIVE])
async def test_a_removed_job_is_gone(admin: Admin, worker: Worker, where: JobState) -> None:
    place(worker, where, ["a"])

    await admin.jobs.remove(QUEUE, "a")

    with pytest.raises(JobNotFound):
        await admin.jobs.one(QUEUE, "a")
    with pytest.raises(JobNotFound):
        await admin.jobs.remove(QUEUE, "a")
    found = worker.engine.run(stats(QUEUE))
    assert (sum(found.jobs.values()), found.totals.removed) == (0, 1)


async def test_an_active_job_is_not_removed(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.ACTIVE, ["a"])

    with pytest.raises(JobInState) as refusal:
        await admin.jobs.remove(QUEUE, "a")

    assert refusal.value.state == "active"


async def test_the_idempotency_key_of_a_removed_job_still_answers(admin: Admin, worker: Worker) -> None:
    job = new_job("a", idempotency_key="once")
    put(worker.engine, job)

    await admin.jobs.remove(QUEUE, "a")

    (again,) = put(worker.engine, job)
    assert (again.job_id, again.created) == ("a", False)
    assert state(worker.engine) is None


async def test_a_promoted_job_starts_now(admin: Admin, worker: Worker) -> None:
    """A waiting one stays where it is: the call may be repeated."""
    put(worker.engine, "waiting", new_job("a", delay=LATER))

    job = await admin.jobs.promote(QUEUE, "a")
    again = await admin.jobs.promote(QUEUE, "a")

    assert (job.state, job.run_at) == (JobState.WAITING, None)
    assert again == job
    assert ids(worker.take()) == ["waiting", "a"]


@pytest.mark.parametrize("wrong", NEITHER)
async def test_a_job_that_runs_or_has_ended_is_not_promoted(admin: Admin, worker: Worker, wrong: JobState) -> None:
    place(worker, wrong, ["a"])

    with pytest.raises(JobInState) as refusal:
        await admin.jobs.promote(QUEUE, "a")

    assert refusal.value.state == wrong


async def test_a_job_that_is_not_there_is_told_by_every_verb(admin: Admin) -> None:
    for verb in (admin.jobs.one, admin.jobs.retry, admin.jobs.remove, admin.jobs.promote):
        with pytest.raises(JobNotFound):
            await verb(QUEUE, "a")
        with pytest.raises(QueueNotFound):
            await verb("emial", "a")


async def test_the_same_id_in_another_queue_is_another_job(admin: Admin, worker: Worker) -> None:
    put(worker.engine, "a")

    with pytest.raises(JobNotFound):
        await admin.jobs.remove("sync", "a")

    assert look(worker.engine).state is JobState.WAITING
