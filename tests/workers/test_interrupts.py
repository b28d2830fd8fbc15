"""Jobs that are interrupted at any moment, thousands of them: none is lost, and no thread dies of it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from dramatiq.middleware import TimeLimitExceeded

from server.catalog import Handler, JobContext, handler
from server.engine import admit
from server.engine.errors import JobInState
from server.engine.job import AttemptOutcome, JobState
from tests.workers.conftest import OnDuty
from tests.workers.duty import QUEUE, Duty, Probe, new_job, probe, shorter_turns, until
from workers.holding import JobCancelled, LeaseGone

# An interrupt may arrive in a callback of the interpreter's own, of a weak reference say, and be lost there. Python
# says so, and the job goes on to its end.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SYNC, ASYNC = probe("probe.sync"), probe("probe.async")
_MOMENT = 200e-6  # s
THREADS = 8


@handler(SYNC)
def brief(_: Probe, job: JobContext) -> None:
    time.sleep(random.random() * _MOMENT)
    job.progress(50)
    if random.random() < 0.5:
        raise ValueError("half of them fail")


@handler(ASYNC)
async def brief_async(_: Probe, job: JobContext) -> None:
    await asyncio.sleep(random.random() * _MOMENT)
    job.log("halfway")
    if random.random() < 0.5:
        raise ValueError("half of them fail")


@contextmanager
def hammer(duty: Duty) -> Iterator[list[int]]:
    """Interrupts whatever runs, again and again. Yields a list whose one item counts the strikes."""
    over, strikes = threading.Event(), [0]

    def strike() -> None:
        while not over.is_set():
            for holding in duty.shift.holdings:
                for reason in (JobCancelled, TimeLimitExceeded):
                    holding.interrupt(reason)
                strikes[0] += holding.reason is not None
            time.sleep(random.random() * _MOMENT)

    thread = threading.Thread(target=strike)
    with shorter_turns():
        thread.start()
        try:
            yield strikes
        finally:
            over.set()
            thread.join(10)


@pytest.mark.parametrize("brief_job", [brief, brief_async], ids=["sync", "async"])
def test_every_job_ends_and_every_thread_lives(on_duty: OnDuty, brief_job: Handler[Probe]) -> None:
    duty = on_duty(brief_job, threads=THREADS)
    jobs = [new_job(brief_job.task, max_attempts=1) for _ in range(1000)]

    with hammer(duty) as strikes:
        duty.enqueue_all(jobs)
        until(lambda: not duty.counts().keys() - {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}, seconds=60)

    assert sum(duty.counts().values()) == len(jobs)
    assert strikes[0] > 100
    assert duty.threads_alive == THREADS
    duty.settled()


def test_jobs_that_are_cancelled_about_when_they_end(on_duty: OnDuty) -> None:
    duty = on_duty(brief, brief_async, threads=THREADS, lease=timedelta(seconds=0.5))
    jobs = [new_job(random.choice((SYNC, ASYNC)), max_attempts=1) for _ in range(500)]
    duty.enqueue_all(jobs)

    for job in jobs:
        with suppress(JobInState):
            duty.engine.run(admit.cancel(QUEUE, job.id))

    until(lambda: not duty.counts().keys() - {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}, seconds=30)
    assert sum(duty.counts().values()) == len(jobs)
    assert duty.threads_alive == THREADS


LIMIT = timedelta(seconds=1)
TO_THE_LIMIT = probe("probe.to_the_limit", timeout=LIMIT, max_attempts=1)
TO_THE_LIMIT_ASYNC = probe("probe.to_the_limit_async", timeout=LIMIT, max_attempts=1)


def nearly() -> float:
    """Seconds: up to the limit and one round of the timer."""
    return LIMIT.total_seconds() + random.random() * 0.3


@handler(TO_THE_LIMIT)
def to_the_limit(_: Probe, _job: JobContext) -> None:
    ends = time.monotonic() + nearly()
    while time.monotonic() < ends:
        time.sleep(0.001)


@handler(TO_THE_LIMIT_ASYNC)
async def to_the_limit_async(_: Probe, _job: JobContext) -> None:
    await asyncio.sleep(nearly())


def test_jobs_that_end_about_when_their_time_is_up(on_duty: OnDuty) -> None:
    duty = on_duty(to_the_limit, to_the_limit_async, threads=40)
    jobs = [new_job(random.choice((TO_THE_LIMIT, TO_THE_LIMIT_ASYNC))) for _ in range(80)]
    duty.enqueue_all(jobs)

    until(lambda: not duty.counts().keys() - {JobState.COMPLETED, JobState.FAILED}, seconds=60)

    outcomes = {attempt.outcome for job in jobs for attempt in duty.job(job.id).attempts}
    assert outcomes == {AttemptOutcome.COMPLETED, AttemptOutcome.TIMED_OUT}
    assert duty.threads_alive == 40
    duty.settled()


def states(duty: Duty, job_ids: list[str]) -> set[JobState | None]:
    found = duty.engine.run(admit.states(QUEUE, job_ids))
    return set(found)


def test_an_interrupt_never_hits_the_next_job_of_a_thread(on_duty: OnDuty) -> None:
    """One thread runs victims and bystanders in turn; only victims are struck, as late as can be."""
    victim, bystander = probe("probe.victim"), probe("probe.bystander")

    @handler(victim)
    def suffer(_: Probe, _job: JobContext) -> None:
        time.sleep(random.random() * _MOMENT)

    @handler(bystander)
    def stand_by(_: Probe, _job: JobContext) -> None:
        time.sleep(random.random() * _MOMENT)

    duty = on_duty(suffer, stand_by, threads=1)
    over = threading.Event()

    def strike() -> None:
        while not over.is_set():
            for holding in duty.shift.holdings:
                if holding.job.request.task == victim.name:
                    holding.interrupt(LeaseGone if random.random() < 0.2 else TimeLimitExceeded)
            time.sleep(random.random() * _MOMENT)

    thread = threading.Thread(target=strike)
    jobs = [new_job(victim if n % 2 else bystander, max_attempts=1) for n in range(1000)]
    with shorter_turns():
        thread.start()
        duty.enqueue_all(jobs)
        bystanders = [job.id for job in jobs[::2]]
        until(lambda: states(duty, bystanders) == {JobState.COMPLETED}, seconds=60)
        over.set()
        thread.join(10)

    assert all(len(duty.job(job_id).attempts) == 1 for job_id in bystanders)
