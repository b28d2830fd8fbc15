"""What is done to many jobs: all that matched at the beginning are told, and a second call goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import redis

from server.admin import Admin, bulk
from server.admin.bulk import Outcome, Selection
from server.catalog import QueueNotFound
from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.engine.errors import BackendFull, InvalidValue
from server.engine.job import JobState, NewJob, Unique
from server.engine.look import Stats, stats
from server.engine.sweep import promote
from tests.admin.hands import ALL, LATER, numbered, place, until
from tests.conftest import Clock, raw_client
from tests.engine.hands import QUEUE, Worker, failed, ids, look, new_job, put, state

EVERY = Selection()
DRY = Selection(dry_run=True)
OTHER_TASK = "email.password_reset"

ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
Verb = Callable[[Admin, Selection, float], Awaitable[Outcome]]


async def retried(admin: Admin, which: Selection = EVERY, *, task: str = "", seconds: float = ALL) -> Outcome:
    return await admin.bulk.retry_failed(QUEUE, which, task=task, seconds=seconds)


async def cleaned(
    admin: Admin, which: Selection = EVERY, *, state: JobState = JobState.FAILED, seconds: float = ALL
) -> Outcome:
    return await admin.bulk.clean(QUEUE, which, state=state, seconds=seconds)


async def purged(admin: Admin, which: Selection = EVERY, *, seconds: float = ALL) -> Outcome:
    return await admin.bulk.purge(QUEUE, which, seconds=seconds)


# Each verb with the state of the jobs that it takes up.
VERBS: dict[str, tuple[JobState, Verb]] = {
    "retry": (JobState.FAILED, lambda admin, which, seconds: retried(admin, which, seconds=seconds)),
    "retry of a task": (
        JobState.FAILED,
        lambda admin, which, seconds: retried(admin, which, task="email.welcome", seconds=seconds),
    ),
    "clean": (JobState.FAILED, lambda admin, which, seconds: cleaned(admin, which, seconds=seconds)),
    "purge": (JobState.WAITING, lambda admin, which, seconds: purged(admin, which, seconds=seconds)),
}
every_verb = pytest.mark.parametrize(("state", "verb"), VERBS.values(), ids=VERBS)


def counted(engine: Engine) -> Stats:
    return engine.run(stats(QUEUE))


def secret(job_id: str) -> NewJob:
    return new_job(job_id, payload=b'{"code": "123456"}', masked=b'{"code": "***"}')


def keys_left(raw: redis.Redis) -> set[str]:
    return {key.decode().rpartition(":")[2] for key in raw.scan_iter()}


def figures(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.done, outcome.skipped, outcome.remaining


@every_verb
async def test_all_are_done(admin: Admin, worker: Worker, state: JobState, verb: Verb) -> None:
    place(worker, state, numbered(1000))

    assert figures(await verb(admin, EVERY, ALL)) == (1000, 0, 0)
    assert figures(await verb(admin, EVERY, ALL)) == (0, 0, 0)


@every_verb
async def test_a_dry_run_tells_the_same_and_changes_nothing(
    admin: Admin, worker: Worker, state: JobState, verb: Verb
) -> None:
    place(worker, state, numbered(350))
    before = counted(worker.engine)

    dry = await verb(admin, DRY, ALL)
    limited = await verb(admin, Selection(dry_run=True, limit=120), ALL)

    assert counted(worker.engine) == before
    assert (figures(dry), figures(limited)) == ((350, 0, 0), (120, 0, 230))
    assert await verb(admin, EVERY, ALL) == dry


@every_verb
async def test_a_limit_is_kept_and_the_next_call_goes_on(
    admin: Admin, worker: Worker, state: JobState, verb: Verb
) -> None:
    place(worker, state, numbered(350))
    by_120 = Selection(limit=120)

    found = [figures(await verb(admin, by_120, ALL)) for _ in range(4)]

    assert found == [(120, 0, 230), (120, 0, 110), (110, 0, 0), (0, 0, 0)]


@every_verb
async def test_the_figures_add_up_when_the_time_is_up(
    admin: Admin, worker: Worker, state: JobState, verb: Verb
) -> None:
    """Nothing is begun when there is none; called until nothing remains, everything is done once."""
    for at in range(3):
        jobs = numbered(1000, name=f"j{at}")
        place(worker, state, jobs)

    assert figures(await verb(admin, EVERY, -0.4)) == (0, 0, 3000)
    done, calls, remaining = 0, 0, 3000
    while remaining:
        outcome = await verb(admin, EVERY, 0.02)
        assert outcome.done + outcome.remaining == remaining
        done, calls, remaining = done + outcome.done, calls + 1, outcome.remaining

    assert (done, calls > 1) == (3000, True)


@every_verb
async def test_only_jobs_of_a_certain_age_are_taken(
    admin: Admin, clock: Clock, worker: Worker, state: JobState, verb: Verb
) -> None:
    """One that is exactly so old is."""
    place(worker, state, ["old"])
    clock.advance(minutes=59)
    put(worker.engine, "young") if state is JobState.WAITING else place(worker, state, ["young"])
    clock.advance(minutes=1)

    assert figures(await verb(admin, Selection(older_than=timedelta(minutes=61)), ALL)) == (0, 0, 0)
    assert figures(await verb(admin, Selection(older_than=LATER), ALL)) == (1, 0, 0)
    assert look(worker.engine, "young").state is state


@every_verb
async def test_an_age_beyond_all_time_takes_none(admin: Admin, worker: Worker, state: JobState, verb: Verb) -> None:
    place(worker, state, ["a"])

    assert figures(await verb(admin, Selection(older_than=timedelta(days=3_652_000)), ALL)) == (0, 0, 0)


def test_a_limit_is_not_negative() -> None:
    with pytest.raises(InvalidValue, match=r"^limit must not be negative$"):
        Selection(limit=-1)


async def test_a_queue_that_is_not_there_is_refused(admin: Admin) -> None:
    with pytest.raises(QueueNotFound):
        await admin.bulk.retry_failed("emial", EVERY, seconds=ALL)
    with pytest.raises(QueueNotFound):
        await admin.bulk.clean("emial", EVERY, seconds=ALL)
    with pytest.raises(QueueNotFound):
        await admin.bulk.purge("emial", EVERY, seconds=ALL)


async def test_retried_jobs_run_by_priority_and_then_in_the_order_in_which_they_failed(
    admin: Admin, clock: Clock, worker: Worker
) -> None:
    for job in (new_job("z"), new_job("urgent", priority=9), new_job("a")):
        place(worker, JobState.FAILED, [job])
        clock.advance(seconds=1)

    await retried(admin)

    assert ids(worker.take()) == ["urgent", "z", "a"]


async def test_jobs_that_cannot_be_retried_are_skipped_and_told(admin: Admin, worker: Worker) -> None:
    """Of two with one unique key, the first takes it; a dry run knows that as well."""
    mine = Unique(key="mine")
    place(worker, JobState.FAILED, [secret("secret"), *numbered(3)])
    for job_id in ("one", "two"):
        place(worker, JobState.FAILED, [new_job(job_id, unique=mine)])

    dry = await retried(admin, DRY)
    outcome = await retried(admin)

    assert figures(dry) == figures(outcome) == (4, 2, 0)
    assert counted(worker.engine)[JobState.FAILED] == 2
    assert figures(await retried(admin)) == (0, 2, 0)


async def test_the_skipped_do_not_count_against_the_limit(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.FAILED, [*(secret(f"a{n}") for n in range(150)), *numbered(150)])

    assert figures(await retried(admin, Selection(limit=100))) == (100, 150, 50)


async def test_only_jobs_of_a_task_are_retried(admin: Admin, worker: Worker) -> None:
    jobs = [new_job(job_id, task=OTHER_TASK if n % 3 else "email.welcome") for n, job_id in enumerate(numbered(600))]
    place(worker, JobState.FAILED, jobs)

    assert figures(await retried(admin, Selection(limit=50), task="email.welcome")) == (50, 0, 150)
    assert figures(await retried(admin, task="email.welcome")) == (150, 0, 0)
    assert {job.request.task for job in worker.take(1000)} == {"email.welcome"}
    assert counted(worker.engine)[JobState.FAILED] == 400


async def test_with_a_task_and_no_time_what_remains_is_told_as_too_many_rather_than_too_few(
    admin: Admin, worker: Worker
) -> None:
    place(worker, JobState.FAILED, [new_job("other", task=OTHER_TASK), *numbered(9)])

    assert figures(await retried(admin, task=OTHER_TASK, seconds=0)) == (0, 0, 10)


async def test_what_remains_of_a_task_is_not_counted_for_long_when_the_limit_is_reached(
    admin: Admin, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten were asked for: nobody waits until a million others are looked at. Here there is no time at all for it."""
    monkeypatch.setattr(bulk, "_COUNTING_SECONDS", 0.0)
    monkeypatch.setattr(bulk, "_STEP", 100)
    place(worker, JobState.FAILED, [new_job(each, task=f"email.{n % 2}") for n, each in enumerate(numbered(600))])

    outcome = await retried(admin, Selection(limit=10), task="email.0")

    # Of the first 100, 50 match; the others were not looked at.
    assert figures(outcome) == (10, 0, 40 + 500)


async def test_a_job_that_fails_again_is_not_retried_by_the_same_call(
    admin: Admin, clock: Clock, worker: Worker
) -> None:
    """Else a call could go on for ever."""
    place(worker, JobState.FAILED, numbered(1000))
    clock.advance(seconds=1)
    call = asyncio.create_task(retried(admin))
    await until(lambda: counted(worker.engine)[JobState.WAITING] > 0)
    clock.advance(seconds=1)
    while not call.done():
        if taken := worker.take(1000):
            worker.engine.run(failed(*taken))
        await asyncio.sleep(0)

    assert figures(call.result()) == (1000, 0, 0)
    while taken := worker.take(1000):
        worker.engine.run(failed(*taken))
    assert worker.engine.run(stats(QUEUE)).totals.ended(JobState.FAILED) == 2000


async def test_retrying_is_refused_while_memory_is_full(admin: Admin, valkey: EmbeddedServer, worker: Worker) -> None:
    place(worker, JobState.FAILED, numbered(3))
    with raw_client(valkey) as raw:
        raw.config_set("maxmemory", 1)
        try:
            with pytest.raises(BackendFull):
                await retried(admin)
            assert figures(await cleaned(admin)) == (3, 0, 0)
        finally:
            raw.config_set("maxmemory", 0)


@pytest.mark.parametrize("state", ENDED)
async def test_one_state_is_cleaned_and_no_other(admin: Admin, worker: Worker, state: JobState) -> None:
    for each in ENDED:
        place(worker, each, numbered(5, name=each))
    place(worker, JobState.DELAYED, ["delayed"])
    place(worker, JobState.ACTIVE, ["active"])
    place(worker, JobState.WAITING, ["waiting"])

    assert figures(await cleaned(admin, state=state)) == (5, 0, 0)

    found = counted(worker.engine)
    assert {each: found[each] for each in ENDED} == {each: 0 if each is state else 5 for each in ENDED}
    assert sum(found.jobs.values()) == 13
    assert found.totals.removed == 5


@pytest.mark.parametrize("state", [each for each in JobState if not each.terminal])
async def test_what_lives_is_not_cleaned(admin: Admin, worker: Worker, state: JobState) -> None:
    with pytest.raises(InvalidValue, match=r"^state must be completed, failed or cancelled$"):
        await cleaned(admin, state=state)


async def test_cleaned_jobs_leave_nothing_behind(admin: Admin, valkey: EmbeddedServer, worker: Worker) -> None:
    with raw_client(valkey) as raw:
        place(worker, JobState.FAILED, [secret("secret"), new_job("a", expires_at=None, retention=LATER)])
        await cleaned(admin)

        assert keys_left(raw) <= {"meta", "totals", "events", "workers", "reservations", "wake"}


async def test_both_the_waiting_and_the_delayed_are_purged(admin: Admin, worker: Worker) -> None:
    place(worker, JobState.ACTIVE, ["active"])
    put(worker.engine, *numbered(300), *(new_job(each, delay=LATER) for each in numbered(200, name="later")))

    assert figures(await purged(admin, Selection(limit=250))) == (250, 0, 250)
    assert figures(await purged(admin)) == (250, 0, 0)
    assert {each: n for each, n in counted(worker.engine).jobs.items() if n} == {JobState.ACTIVE: 1}


@pytest.mark.parametrize(
    ("wanted", "left"), [(JobState.WAITING, JobState.DELAYED), (JobState.DELAYED, JobState.WAITING)]
)
async def test_one_of_both_is_purged(admin: Admin, worker: Worker, wanted: JobState, left: JobState) -> None:
    put(worker.engine, "a", new_job("b", delay=LATER))

    outcome = await admin.bulk.purge(QUEUE, EVERY, states=[wanted], seconds=ALL)

    found = counted(worker.engine)
    assert (figures(outcome), found[wanted], found[left]) == ((1, 0, 0), 0, 1)


async def test_what_has_started_is_not_purged(admin: Admin) -> None:
    with pytest.raises(InvalidValue, match=r"^state must be waiting or delayed$"):
        await admin.bulk.purge(QUEUE, EVERY, states=[JobState.ACTIVE], seconds=ALL)


async def test_jobs_that_come_after_the_call_are_not_purged(admin: Admin, clock: Clock, worker: Worker) -> None:
    """Also urgent ones, which stand before those that were there."""
    for at in range(3):
        put(worker.engine, *numbered(1000, name=f"old{at}"))
    call = asyncio.create_task(purged(admin))
    await until(lambda: counted(worker.engine)[JobState.WAITING] < 3000)
    clock.advance(seconds=1)
    come = 0
    while not call.done():
        put(worker.engine, f"late-{come}", new_job(f"urgent-{come}", priority=7))
        come += 2
        await asyncio.sleep(0)

    assert figures(call.result()) == (3000, 0, 0)
    assert come > 0
    assert counted(worker.engine)[JobState.WAITING] == come


async def test_a_delayed_job_that_becomes_due_meanwhile_is_purged(admin: Admin, clock: Clock, worker: Worker) -> None:
    put(worker.engine, *numbered(300), *(new_job(each, delay=LATER) for each in numbered(300, name="later")))
    call = asyncio.create_task(purged(admin))
    await until(lambda: not counted(worker.engine)[JobState.WAITING] or counted(worker.engine)[JobState.DELAYED] < 300)
    clock.advance(LATER)
    worker.engine.run(promote(QUEUE, limit=300))

    assert figures(await call) == (600, 0, 0)


async def test_a_purged_unique_key_is_free_again(admin: Admin, worker: Worker) -> None:
    mine = Unique(key="mine")
    put(worker.engine, new_job("a", unique=mine))

    await purged(admin)

    assert put(worker.engine, new_job("b", unique=mine))[0].created
    assert state(worker.engine, "b") is JobState.WAITING


@every_verb
async def test_two_operators_at_once_do_each_job_once(
    admin: Admin, worker: Worker, state: JobState, verb: Verb
) -> None:
    place(worker, state, numbered(1000))

    one, other = await asyncio.gather(verb(admin, EVERY, ALL), verb(admin, EVERY, ALL))

    assert one.done + other.done == 1000
    assert one.skipped == other.skipped == 0


async def test_of_one_who_cleans_and_one_who_retries_each_job_obeys_one(admin: Admin, worker: Worker) -> None:
    """A job that was retried is not failed any more, and stays."""
    place(worker, JobState.FAILED, numbered(1000))

    saved, lost = await asyncio.gather(retried(admin), cleaned(admin))

    assert saved.done + lost.done == 1000
    assert counted(worker.engine)[JobState.WAITING] == saved.done
