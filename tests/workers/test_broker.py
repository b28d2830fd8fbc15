"""What a job and its handler may expect of a worker: in one process, on a real Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from server.catalog import Handler, JobContext, PermanentFailure, Snooze, handler
from server.engine import admit, steer, sweep
from server.engine.backoff import Backoff
from server.engine.engine import Engine
from server.engine.job import AttemptOutcome, FailureReason, JobState
from server.engine.store import Store
from tests.conftest import Clock
from tests.workers.conftest import OnDuty
from tests.workers.duty import QUEUE, Duty, Probe, new_job, probe, until

LOOK, OTHER = probe(), probe("probe.other")
SOON = Backoff(initial=timedelta(milliseconds=1), jitter=0)
COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
WAITING, ACTIVE, DELAYED = JobState.WAITING, JobState.ACTIVE, JobState.DELAYED


def nothing(task: Any = LOOK) -> Handler[Any]:
    @handler(task)
    def run(_: Probe, _job: JobContext) -> None: ...

    return run


class Gate:
    """A handler that waits in its body until it is let through, or interrupted."""

    def __init__(self, task: Any = LOOK) -> None:
        self.inside = threading.Semaphore(0)
        self.opened = threading.Event()
        self.handler = handler(task)(self._run)

    def entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.inside.acquire(timeout=20)

    def _run(self, _: Probe, _job: JobContext) -> None:
        self.inside.release()
        while not self.opened.wait(0.005):  # an interrupt comes between two steps of Python
            pass


class AsyncGate(Gate):
    async def _run(self, _: Probe, _job: JobContext) -> None:  # type: ignore[override]
        self.inside.release()
        while not self.opened.is_set():  # noqa: ASYNC110  (set by a thread that knows no event loop)
            await asyncio.sleep(0.005)


GATES = pytest.mark.parametrize("gate_kind", [Gate, AsyncGate], ids=["sync", "async"])


# Running


def test_a_handler_gets_its_typed_payload_and_its_result_is_kept(on_duty: OnDuty) -> None:
    @handler(LOOK)
    def look(payload: Probe, job: JobContext) -> dict[str, object]:
        return {"n": payload.n + 1, "text": payload.text, "attempt": job.attempt}

    duty = on_duty(look)

    job = duty.when(duty.enqueue(LOOK, Probe(n=1, text="ä")))

    assert job.state is COMPLETED
    assert job.result == '{"n":2,"text":"ä","attempt":1}'.encode()
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.COMPLETED]
    assert job.attempts[0].worker == duty.shift.worker


def test_an_async_handler_is_awaited(on_duty: OnDuty) -> None:
    @handler(LOOK)
    async def look(payload: Probe, _job: JobContext) -> int:
        await asyncio.sleep(0)
        return payload.n + 1

    duty = on_duty(look)

    assert duty.when(duty.enqueue(LOOK, Probe(n=1))).result == b"2"


def test_a_coroutine_that_nobody_would_await_is_a_failure(on_duty: OnDuty) -> None:
    """A decorator hid that the handler is async. The job must not count as completed: nothing of it was done."""

    async def run(_: Probe, _job: JobContext) -> None: ...

    @handler(LOOK)
    def hidden(payload: Probe, job: JobContext) -> Any:
        return run(payload, job)

    duty = on_duty(hidden)

    job = duty.when(duty.enqueue(LOOK, max_attempts=1))

    assert job.failure is not None
    assert "returned a coroutine" in job.failure.message


def test_async_handlers_run_side_by_side(on_duty: OnDuty) -> None:
    """Each waits for all others: they could not end one after the other."""
    everybody = asyncio.Barrier(8)

    @handler(LOOK)
    async def meet(_: Probe, _job: JobContext) -> None:
        await everybody.wait()

    duty = on_duty(meet, threads=8)
    duty.enqueue_all([new_job(LOOK) for _ in range(8)])

    duty.all_in(COMPLETED, 8)


def test_a_handler_sees_its_job(on_duty: OnDuty) -> None:
    seen: list[dict[str, Any]] = []

    @handler(LOOK)
    def look(_: Probe, job: JobContext) -> None:
        names = ("id", "queue", "task", "labels", "attempt", "max_attempts", "snoozes", "cancelled")
        seen.append({name: getattr(job, name) for name in names})

    duty = on_duty(look)
    job_id = duty.enqueue(LOOK, labels={"tenant": "a"}, max_attempts=7)
    duty.when(job_id)

    assert seen == [
        {
            "id": job_id,
            "queue": QUEUE,
            "task": LOOK.name,
            "labels": {"tenant": "a"},
            "attempt": 1,
            "max_attempts": 7,
            "snoozes": 0,
            "cancelled": False,
        }
    ]


def test_progress_and_log_lines_show_while_the_job_runs(on_duty: OnDuty) -> None:
    seen = threading.Event()

    @handler(LOOK)
    def tell(_: Probe, job: JobContext) -> None:
        job.log("begun")
        job.progress(50, "half of it")
        job.log("going on")
        assert seen.wait(20)

    duty = on_duty(tell)
    job_id = duty.enqueue(LOOK)
    until(lambda: len(duty.job(job_id).logs) == 2)
    job = duty.job(job_id)
    seen.set()

    assert job.state is ACTIVE
    assert job.progress is not None
    assert (job.progress.percent, job.progress.message) == (50, "half of it")
    assert [(line.attempt, line.text) for line in job.logs] == [(1, "begun"), (1, "going on")]
    assert [line.text for line in duty.when(job_id).logs] == ["begun", "going on"]


def test_notes_written_right_before_the_end_are_kept(on_duty: OnDuty) -> None:
    @handler(LOOK)
    def tell(_: Probe, job: JobContext) -> None:
        job.log("last words")

    duty = on_duty(tell)
    jobs = duty.enqueue_all([new_job(LOOK) for _ in range(50)])
    duty.all_in(COMPLETED, 50)

    assert {line.text for job_id in jobs for line in duty.job(job_id).logs} == {"last words"}


def test_a_job_starts_at_once_when_it_comes_to_an_idle_worker(on_duty: OnDuty) -> None:
    """It is woken: looking once a second would take half a second on average."""
    duty = on_duty(nothing(), idle_ms=1000)
    duty.when(duty.enqueue(LOOK))

    begun = time.monotonic()
    for _ in range(20):
        duty.when(duty.enqueue(LOOK))

    assert time.monotonic() - begun < 5


def test_a_delayed_job_starts_when_it_is_due_and_not_before(on_duty: OnDuty) -> None:
    duty = on_duty(nothing())

    job = duty.when(duty.enqueue(LOOK, delay=timedelta(milliseconds=300)))

    waited = job.attempts[0].started_at - job.request.created_at
    assert timedelta(milliseconds=300) <= waited < timedelta(seconds=5)


def test_jobs_of_higher_priority_start_first(off_duty: OnDuty) -> None:
    order: list[int] = []

    @handler(LOOK)
    def note(payload: Probe, _job: JobContext) -> None:
        order.append(payload.n)

    duty = off_duty(note, threads=1)
    duty.enqueue_all([new_job(LOOK, Probe(n=n), priority=n) for n in (0, 5, -5, 5, 9)])
    duty.start()
    duty.all_in(COMPLETED, 5)

    assert order == [9, 5, 5, 0, -5]


def test_thousands_of_delayed_jobs_stay_out_of_the_worker(off_duty: OnDuty) -> None:
    duty = off_duty(nothing())
    duty.enqueue_all([new_job(LOOK, delay=timedelta(days=10)) for _ in range(20_000)])
    duty.start()

    duty.when(duty.enqueue(LOOK))

    duty.settled()
    assert duty.counts() == {DELAYED: 20_000, COMPLETED: 1}


# Ending


def test_a_failed_attempt_is_followed_by_the_next(on_duty: OnDuty) -> None:
    @handler(LOOK)
    def third_time_lucky(_: Probe, job: JobContext) -> str:
        if job.attempt < 3:
            raise ValueError(f"attempt {job.attempt}")
        return "at last"

    duty = on_duty(third_time_lucky)

    job = duty.when(duty.enqueue(LOOK, backoff=SOON))

    assert (job.state, job.result, job.spent.failures) == (COMPLETED, b'"at last"', 2)
    assert [attempt.number for attempt in job.attempts] == [1, 2, 3]
    assert [attempt.error and attempt.error.message for attempt in job.attempts] == ["attempt 1", "attempt 2", None]
    assert job.attempts[0].error is not None
    assert "third_time_lucky" in job.attempts[0].error.stack_trace


def test_the_last_attempt_fails_the_job(on_duty: OnDuty) -> None:
    @handler(LOOK)
    def fail(_: Probe, _job: JobContext) -> None:
        raise ValueError("never")

    duty = on_duty(fail)

    job = duty.when(duty.enqueue(LOOK, backoff=SOON, max_attempts=3))

    assert (job.state, len(job.attempts)) == (FAILED, 3)
    assert job.failure is not None
    assert job.failure.reason is FailureReason.EXHAUSTED
    assert job.failure.message == "3 attempts failed, the last with ValueError: never"


def test_a_snoozed_job_comes_again_and_spends_no_attempt(on_duty: OnDuty) -> None:
    @handler(LOOK)
    async def not_yet(_: Probe, job: JobContext) -> int:
        if job.snoozes < 5:
            raise Snooze(timedelta(milliseconds=1), "the bank is closed")
        return job.attempt

    duty = on_duty(not_yet)

    job = duty.when(duty.enqueue(LOOK, max_attempts=1))

    assert (job.state, job.result) == (COMPLETED, b"1")
    assert (job.spent.failures, job.spent.snoozes) == (0, 5)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.SNOOZED] * 5 + [AttemptOutcome.COMPLETED]


def test_a_permanent_failure_is_the_end(on_duty: OnDuty) -> None:
    @handler(LOOK)
    async def refuse(_: Probe, _job: JobContext) -> None:
        raise PermanentFailure("no such user")

    duty = on_duty(refuse)

    job = duty.when(duty.enqueue(LOOK, backoff=SOON))

    assert (job.state, len(job.attempts)) == (FAILED, 1)
    assert job.failure is not None
    assert (job.failure.reason, job.failure.message) == (FailureReason.PERMANENT, "no such user")


@GATES
def test_a_job_that_runs_for_too_long_is_interrupted(on_duty: OnDuty, gate_kind: type[Gate]) -> None:
    gate = gate_kind(probe(timeout=timedelta(seconds=1)))
    duty = on_duty(gate.handler)

    job = duty.when(duty.enqueue(gate.handler.task, max_attempts=1))

    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.TIMED_OUT]
    (attempt,) = job.attempts
    assert attempt.ended_at is not None
    assert timedelta(seconds=1) <= attempt.ended_at - attempt.started_at < timedelta(seconds=10)


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_handler_that_wants_to_leave_harms_nobody(on_duty: OnDuty, leave: type[BaseException]) -> None:
    @handler(LOOK)
    def depart(_: Probe, _job: JobContext) -> None:
        raise leave

    @handler(OTHER)
    async def depart_async(_: Probe, _job: JobContext) -> None:
        raise leave

    duty = on_duty(depart, depart_async, threads=2)
    duty.enqueue_all([new_job(task, max_attempts=1) for task in (LOOK, OTHER) for _ in range(10)])

    duty.all_in(FAILED, 20)

    assert duty.threads_alive == 2


def test_a_payload_that_does_not_fit_fails_its_job_for_good(on_duty: OnDuty) -> None:
    """The server validates: only a worker of another version can come upon one."""
    duty = on_duty(nothing())

    job = duty.when(duty.enqueue(LOOK, b'{"n":"one"}'))

    assert job.failure is not None
    assert job.failure.reason is FailureReason.PERMANENT
    assert job.failure.message.startswith("the payload does not fit task probe.look as this worker knows it: payload.n")


# Strangers


def test_a_task_that_nobody_here_knows_waits_for_a_worker_that_does(on_duty: OnDuty) -> None:
    ignorant = on_duty(nothing(LOOK))
    job_id = ignorant.enqueue(OTHER)
    ignorant.when(job_id, DELAYED)
    ignorant.stop()

    knowing = on_duty(nothing(OTHER))
    job = knowing.when(job_id)

    assert (job.state, job.spent.failures, len(job.attempts)) == (COMPLETED, 0, 1)


def test_strangers_do_not_hold_up_the_others(on_duty: OnDuty) -> None:
    duty = on_duty(nothing(), threads=2)
    jobs = [new_job(OTHER if n % 2 else LOOK) for n in range(200)]
    duty.enqueue_all(jobs)

    until(lambda: duty.counts() == {COMPLETED: 100, DELAYED: 100})
    duty.settled()


# Cancelling


def test_a_job_that_is_cancelled_while_it_waits_never_starts(off_duty: OnDuty) -> None:
    duty = off_duty(nothing())
    job_id = duty.enqueue(LOOK)
    duty.engine.run(admit.cancel(QUEUE, job_id, "changed my mind"))

    duty.start()
    duty.when(duty.enqueue(LOOK))

    job = duty.job(job_id)
    assert (job.state, job.cancel_reason, job.attempts) == (CANCELLED, "changed my mind", ())


@GATES
def test_a_running_job_that_is_cancelled_is_interrupted(on_duty: OnDuty, gate_kind: type[Gate]) -> None:
    gate = gate_kind()
    duty = on_duty(gate.handler)
    job_id = duty.enqueue(LOOK)
    gate.entered()

    duty.engine.run(admit.cancel(QUEUE, job_id, "changed my mind"))

    job = duty.when(job_id)
    assert (job.state, job.cancel_reason) == (CANCELLED, "changed my mind")
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.CANCELLED]


def test_a_handler_may_look_whether_it_is_still_wanted(on_duty: OnDuty) -> None:
    running = threading.Event()

    @handler(LOOK)
    async def look_up(_: Probe, job: JobContext) -> str:
        running.set()
        with suppress(asyncio.CancelledError):
            while not job.cancelled:  # noqa: ASYNC110  (no event tells)
                await asyncio.sleep(0.005)
        return "tidied up"

    duty = on_duty(look_up)
    job_id = duty.enqueue(LOOK)
    assert running.wait(20)
    duty.engine.run(admit.cancel(QUEUE, job_id))

    job = duty.when(job_id)
    assert (job.state, job.result) == (COMPLETED, b'"tidied up"')


def test_a_job_that_is_cancelled_in_stock_is_stopped_before_it_starts(on_duty: OnDuty) -> None:
    """The worker has it, but no thread came yet."""
    gate = Gate()
    duty = on_duty(gate.handler, threads=1)
    with_stock(duty)
    first = duty.enqueue(LOOK)
    gate.entered()
    second = duty.enqueue(LOOK)
    duty.when(second, ACTIVE)

    duty.engine.run(admit.cancel(QUEUE, second))

    job = duty.when(second)
    assert (job.state, job.attempts) == (CANCELLED, ())
    gate.opened.set()
    assert duty.when(first).state is COMPLETED
    duty.settled()


def with_stock(duty: Duty) -> None:
    """Lets the worker believe that jobs are short."""
    duty.shift.capacity.learn(timedelta(milliseconds=1))


# Leases


def lease_end(duty: Duty, job_id: str) -> datetime:
    ends = duty.job(job_id).lease_ends_at
    assert ends is not None
    return ends


def test_a_long_job_keeps_its_lease(on_duty: OnDuty) -> None:
    gate = Gate()
    lease = timedelta(seconds=0.5)
    duty = on_duty(gate.handler, lease=lease)
    job_id = duty.enqueue(LOOK)
    gate.entered()
    begun = lease_end(duty, job_id)

    until(lambda: lease_end(duty, job_id) > begun + 2 * lease)
    gate.opened.set()

    assert len(duty.when(job_id).attempts) == 1


@GATES
def test_a_job_whose_lease_was_lost_is_interrupted_and_not_settled(on_duty: OnDuty, gate_kind: type[Gate]) -> None:
    """Another driver, whose clock is ahead, takes the job away while it runs."""
    gate = gate_kind()
    duty = on_duty(gate.handler, threads=1)
    job_id = duty.enqueue(LOOK)
    gate.entered()
    duty.engine.run(steer.pause(QUEUE))

    take_away(duty, job_id)

    duty.settled()
    job = duty.job(job_id)
    assert (job.state, job.spent.lost, job.spent.failures) == (WAITING, 1, 0)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.LOST]
    gate.opened.set()
    duty.engine.run(steer.resume(QUEUE))
    assert [attempt.outcome for attempt in duty.when(job_id).attempts] == [
        AttemptOutcome.LOST,
        AttemptOutcome.COMPLETED,
    ]


def take_away(duty: Duty, job_id: str) -> None:
    clock = Clock()
    clock.now = lease_end(duty, job_id) + timedelta(hours=1)
    with Engine(Store.parse(duty.broker.settings.redis_url or ""), clock=clock) as engine:
        engine.run(sweep.reclaim(QUEUE, hold=timedelta(0), gap=timedelta(days=1000)))


def test_a_job_that_comes_back_while_its_first_run_goes_on_keeps_its_new_lease(on_duty: OnDuty) -> None:
    """The first run is interrupted; it must not drag the second down, although both bear one id."""
    runs: list[int] = []
    inside = threading.Semaphore(0)
    opened = threading.Event()

    @handler(LOOK)
    def stubborn(_: Probe, job: JobContext) -> str:
        runs.append(job.attempt)
        mine = len(runs)
        inside.release()
        while not opened.is_set():
            with suppress(BaseException):  # as code does that knows better
                opened.wait(0.005)
        return f"run {mine}"

    duty = on_duty(stubborn, threads=2)
    job_id = duty.enqueue(LOOK)
    assert inside.acquire(timeout=20)
    take_away(duty, job_id)
    assert inside.acquire(timeout=20)
    second_lease = lease_end(duty, job_id)

    until(lambda: lease_end(duty, job_id) > second_lease)
    opened.set()

    job = duty.when(job_id)
    assert (job.result, job.spent.lost) == (b'"run 2"', 1)
    duty.settled()


def test_stock_that_no_thread_came_for_goes_to_an_idle_worker(on_duty: OnDuty) -> None:
    gate = Gate()
    busy = on_duty(gate.handler, threads=1)
    with_stock(busy)
    first = busy.enqueue(LOOK)
    gate.entered()
    others = busy.enqueue_all([new_job(LOOK) for _ in range(10)])
    until(lambda: busy.counts() == {ACTIVE: 11})

    idle = on_duty(nothing())
    for job_id in others:
        assert idle.when(job_id).spent.lost == 0

    assert idle.state(first) is ACTIVE
    gate.opened.set()
    busy.when(first)
    busy.settled()


# Limits


def test_two_workers_together_never_run_more_than_the_queue_allows(on_duty: OnDuty) -> None:
    lock = threading.Lock()
    running, most = [0], [0]

    @handler(LOOK)
    def count(_: Probe, _job: JobContext) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.002)
        with lock:
            running[0] -= 1

    limit = {"PROBE_QUEUE_CONCURRENCY": "3"}
    first, _second = (on_duty(count, threads=8, queues=limit) for _ in range(2))
    first.enqueue_all([new_job(LOOK) for _ in range(300)])

    first.all_in(COMPLETED, 300)

    assert most[0] == 3


def test_no_more_jobs_start_than_the_rate_allows(on_duty: OnDuty) -> None:
    duty = on_duty(nothing(), queues={"PROBE_QUEUE_RATE_LIMIT": "5/500ms"})
    jobs = duty.enqueue_all([new_job(LOOK) for _ in range(12)])
    duty.all_in(COMPLETED, 12)

    starts = sorted(duty.job(job_id).attempts[0].started_at for job_id in jobs)

    # The moment of the reservation counts: a start may come some ms after it.
    assert all(later - sooner > timedelta(milliseconds=350) for sooner, later in zip(starts, starts[5:], strict=False))


def test_a_paused_queue_starts_nothing_until_it_is_resumed(on_duty: OnDuty) -> None:
    duty = on_duty(nothing())
    duty.engine.run(steer.pause(QUEUE))
    job_id = duty.enqueue(LOOK)
    looked = duty.shift.reservations[QUEUE]

    until(lambda: duty.shift.reservations[QUEUE] >= looked + 3)
    assert duty.state(job_id) is WAITING
    duty.engine.run(steer.resume(QUEUE))

    assert duty.when(job_id).state is COMPLETED


def test_a_backlog_in_one_queue_does_not_hold_up_another(on_duty: OnDuty) -> None:
    there = probe("there.look", queue="there")
    duty = on_duty(nothing(), nothing(there), threads=2)
    duty.enqueue_all([new_job(LOOK) for _ in range(5000)])

    duty.when(duty.enqueue(there), queue="there")

    assert duty.counts().get(WAITING, 0) > 100


def test_every_job_of_a_large_backlog_runs_once(on_duty: OnDuty) -> None:
    runs: list[str] = []

    @handler(LOOK)
    def note(_: Probe, job: JobContext) -> None:
        runs.append(job.id)

    workers = [on_duty(note, threads=4) for _ in range(2)]
    jobs = workers[0].enqueue_all([new_job(LOOK) for _ in range(3000)])

    workers[0].all_in(COMPLETED, 3000)

    assert sorted(runs) == sorted(jobs)
    for duty in workers:
        duty.settled()
