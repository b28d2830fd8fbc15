"""A worker leaves: what has not started goes back at once and to its place, what runs may finish."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import dramatiq
from dramatiq.middleware import Shutdown

from server.catalog import JobContext, handler
from server.engine import admit
from server.engine.job import JobState
from tests.workers.conftest import OnDuty
from tests.workers.doors import LOOK, Doors, with_stock
from tests.workers.duty import QUEUE, Duty, Probe, new_job, until

WAITING, ACTIVE, COMPLETED, DELAYED = JobState.WAITING, JobState.ACTIVE, JobState.COMPLETED, JobState.DELAYED


def stopping(duty: Duty) -> threading.Thread:
    thread = threading.Thread(target=duty.stop)
    thread.start()
    return thread


def test_what_has_not_started_goes_back_before_what_runs_is_done(on_duty: OnDuty) -> None:
    doors = Doors()
    duty, _ = with_stock(doors, on_duty, 20)

    leaving = stopping(duty)
    until(lambda: duty.counts() == {ACTIVE: 1, WAITING: 19}, seconds=5)
    doors.opened.set()
    leaving.join(20)

    assert duty.counts() == {COMPLETED: 1, WAITING: 19}


def test_what_goes_back_keeps_its_place_and_is_charged_nothing(on_duty: OnDuty) -> None:
    doors = Doors()
    duty, jobs = with_stock(doors, on_duty, 20)
    later = duty.enqueue(LOOK, Probe(n=99), delay=timedelta(seconds=1))
    doors.opened.set()
    leaving = stopping(duty)
    leaving.join(20)
    until(lambda: duty.counts().keys() <= {COMPLETED, WAITING, DELAYED})
    spent = [duty.job(job_id).spent for job_id in jobs]

    duty.start()
    duty.when(later)
    duty.all_in(COMPLETED, 21)

    assert doors.order == [*range(20), 99]
    assert all((each.failures, each.lost) == (0, 0) for each in spent)


def test_nothing_is_reserved_any_more(on_duty: OnDuty) -> None:
    doors = Doors()
    duty = on_duty(doors.handler, threads=2)
    duty.enqueue(LOOK)
    doors.entered(1)

    leaving = stopping(duty)
    until(duty.shift.draining.is_set)
    # What a reservation under way at that moment brings goes back as well.
    late = duty.enqueue_all([new_job(LOOK) for _ in range(5)])
    until(lambda: duty.counts() == {ACTIVE: 1, WAITING: 5})
    doors.opened.set()
    leaving.join(20)

    assert duty.engine.run(admit.states(QUEUE, late)) == [WAITING] * 5


def test_what_still_runs_when_patience_ends_goes_back_as_well(on_duty: OnDuty) -> None:
    """Its thread is about to end with the process; what it does until then is not told."""
    doors = Doors()
    duty = on_duty(doors.handler, threads=1)
    job_id = duty.enqueue(LOOK)
    doors.entered(1)
    worker = duty.worker
    assert worker is not None

    duty.stop(timeout_ms=50)
    went_back = duty.job(job_id)
    doors.opened.set()
    for thread in worker.workers:
        thread.join(20)

    assert (went_back.state, went_back.spent.lost, went_back.spent.failures) == (WAITING, 0, 0)
    assert duty.state(job_id) is WAITING


def test_an_actor_that_asks_for_it_is_told_of_the_shutdown(on_duty: OnDuty) -> None:
    duty = on_duty()
    inside, told = threading.Event(), threading.Event()

    @dramatiq.actor(queue_name=QUEUE, broker=duty.broker, notify_shutdown=True)
    def listen() -> None:
        inside.set()
        try:
            while True:
                time.sleep(0.005)
        except Shutdown:
            told.set()
            raise

    message = listen.send()
    assert inside.wait(20)

    duty.stop()

    assert told.is_set()
    job = duty.job(message.message_id)
    assert (job.state, job.spent.failures) == (WAITING, 0)


def test_a_worker_can_take_up_its_duty_again(on_duty: OnDuty) -> None:
    @handler(LOOK)
    async def run(_: Probe, _job: JobContext) -> None: ...

    duty = on_duty(run)
    names = set()
    for _ in range(3):
        names.add(duty.when(duty.enqueue(LOOK)).attempts[0].worker)
        duty.stop()
        duty.start()

    assert len(names) == 3


def test_no_thread_of_a_worker_outlives_it(on_duty: OnDuty) -> None:
    @handler(LOOK)
    async def run(_: Probe, _job: JobContext) -> None: ...

    before = set(threading.enumerate())
    duty = on_duty(run)
    duty.when(duty.enqueue(LOOK))

    duty.stop()

    assert set(threading.enumerate()) <= before


def test_a_coroutine_tidies_up_when_patience_ends(on_duty: OnDuty) -> None:
    inside, tidied = threading.Event(), threading.Event()

    @handler(LOOK)
    async def wait(_: Probe, _job: JobContext) -> None:
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            tidied.set()

    duty = on_duty(wait)
    job_id = duty.enqueue(LOOK)
    assert inside.wait(20)

    duty.stop(timeout_ms=50)

    assert tidied.is_set()
    job = duty.job(job_id)
    assert (job.state, job.spent.failures, job.attempts) == (WAITING, 0, ())
