"""Actors that know nothing of tasks, as any Dramatiq project has them."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import CurrentMessage, TimeLimitExceeded

from server.catalog import InvalidPayload, JobContext, email, handler
from server.engine import admit
from server.engine.errors import InvalidValue
from server.engine.job import AttemptOutcome, JobState, NewJob
from server.settings import SettingsError
from tests.workers.conftest import OnDuty
from tests.workers.duty import QUEUE, Duty, Probe, probe, settings
from workers.order import job_of

LOOK = probe()
COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED


@pytest.fixture
def duty(on_duty: OnDuty) -> Duty:
    return on_duty()


def test_a_sent_message_is_a_job(duty: Duty) -> None:
    def add(x: int, *, y: int) -> dict[str, int]:
        return {"sum": x + y}

    actor = duty.plain_actor(add)

    message = actor.send(1, y=2)

    job = duty.when(message.message_id)
    assert (job.state, job.request.task, job.result) == (COMPLETED, "add", b'{"sum":3}')
    assert job.request.payload == b'{"args":[1],"kwargs":{"y":2}}'


def test_an_async_actor_runs_as_well(duty: Duty) -> None:
    async def add(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    message = duty.plain_actor(add).send(1, 2)

    assert duty.when(message.message_id).result == b"3"


def test_an_actor_is_retried_as_its_options_say(duty: Duty) -> None:
    def fail() -> None:
        raise ValueError("boom")

    actor = duty.plain_actor(fail, max_retries=2, min_backoff=1, max_backoff=2)

    job = duty.when(actor.send().message_id)
    single = duty.when(actor.send_with_options(max_retries=0).message_id)

    assert (job.state, len(job.attempts), len(single.attempts)) == (FAILED, 3, 1)


def test_a_message_may_be_delayed(duty: Duty) -> None:
    message = duty.plain_actor(lambda: None, actor_name="later").send_with_options(delay=200)

    job = duty.when(message.message_id)

    assert job.attempts[0].started_at - job.request.created_at >= timedelta(milliseconds=200)


def test_an_actor_is_interrupted_at_its_time_limit(duty: Duty) -> None:
    caught = threading.Event()

    def dawdle() -> None:
        try:
            while True:
                time.sleep(0.005)
        except TimeLimitExceeded:
            caught.set()
            raise

    message = duty.plain_actor(dawdle, max_retries=0, time_limit=1000).send()

    job = duty.when(message.message_id)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.TIMED_OUT]
    assert caught.is_set()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_actor_is_interrupted_when_its_job_is_cancelled(duty: Duty, kind: str) -> None:
    inside = threading.Event()

    def dawdle() -> None:
        inside.set()
        while True:
            time.sleep(0.005)

    async def dawdle_async() -> None:
        inside.set()
        await asyncio.Event().wait()

    message = duty.plain_actor(dawdle if kind == "sync" else dawdle_async).send()
    assert inside.wait(20)
    duty.engine.run(admit.cancel(QUEUE, message.message_id))

    assert duty.when(message.message_id).state is CANCELLED


def test_an_actor_sees_its_message(duty: Duty) -> None:
    seen: list[Any] = []

    def look(x: int) -> None:
        message = CurrentMessage.get_current_message()
        assert message is not None
        seen.append((message.message_id, message.args))

    message = duty.plain_actor(look).send(7)
    duty.when(message.message_id)

    assert seen == [(message.message_id, (7,))]


def test_an_actor_can_still_be_called(duty: Duty) -> None:
    add = duty.plain_actor(lambda x, y: x + y, actor_name="add")

    assert add(1, 2) == 3


def test_an_actor_can_be_called_by_another_and_by_itself(duty: Duty) -> None:
    def count(n: int) -> int:
        return 0 if n == 0 else 1 + int(actor(n - 1))

    def outer(n: int) -> int:
        return 100 + int(actor(n))

    actor = duty.plain_actor(count)
    outer_actor = duty.plain_actor(outer)

    assert duty.when(actor.send(3).message_id).result == b"3"
    assert duty.when(outer_actor.send(3).message_id).result == b"103"


def test_an_actor_can_send_to_another(duty: Duty) -> None:
    done = threading.Event()
    second = duty.plain_actor(done.set, actor_name="second")
    first = duty.plain_actor(lambda: second.send() and None, actor_name="first")

    first.send()

    assert done.wait(20)


def test_join_waits_for_everything(duty: Duty) -> None:
    actor = duty.plain_actor(time.sleep, actor_name="sleep")
    for n in range(20):
        actor.send_with_options(args=(0.01,), delay=n)

    duty.broker.join(QUEUE, timeout=20_000)

    assert duty.counts() == {COMPLETED: 20}


def test_join_gives_up_in_time(duty: Duty) -> None:
    duty.plain_actor(lambda: None, actor_name="later").send_with_options(delay=60_000)

    with pytest.raises(QueueJoinTimeout):
        duty.broker.join(QUEUE, timeout=60)


def test_a_queue_is_consumed_as_soon_as_an_actor_declares_it(duty: Duty) -> None:
    decorate: Any = dramatiq.actor(queue_name="fresh", broker=duty.broker, actor_name="fresh")
    message = decorate(lambda: 1).send()

    assert duty.when(message.message_id, queue="fresh").state is COMPLETED


# Sending


def test_a_task_of_the_catalog_can_be_sent_too(on_duty: OnDuty) -> None:
    @handler(LOOK)
    def look(payload: Probe, _job: JobContext) -> int:
        return payload.n

    duty = on_duty(look)

    message = duty.broker.get_actor(LOOK.name).send({"n": 7})

    assert duty.when(message.message_id).result == b"7"


def test_what_does_not_fit_a_task_is_refused(on_duty: OnDuty) -> None:
    @handler(LOOK)
    def look(_: Probe, _job: JobContext) -> None: ...

    actor = on_duty(look).broker.get_actor(LOOK.name)

    with pytest.raises(InvalidPayload, match=r"payload\.n"):
        actor.send({"n": "seven"})
    with pytest.raises(TypeError, match="takes its payload as the one argument"):
        actor.send(n=7)


def test_arguments_that_json_cannot_say_are_refused(duty: Duty) -> None:
    with pytest.raises(TypeError):
        duty.plain_actor(print).send(object())


def test_an_unknown_queue_is_refused(duty: Duty) -> None:
    message: dramatiq.Message[Any] = dramatiq.Message("nowhere", "add", (), {}, {})

    with pytest.raises(QueueNotFound):
        duty.broker.enqueue(message)
    with pytest.raises(QueueNotFound):
        duty.broker.consume("nowhere")


def test_a_queue_that_cannot_be_is_refused_where_it_is_declared(duty: Duty) -> None:
    """And not when a worker boots, where Dramatiq would log the refusal and go on without the queue."""
    with pytest.raises(InvalidValue):
        dramatiq.actor(queue_name="_odd", broker=duty.broker, actor_name="odd")(lambda: None)

    assert "_odd" not in duty.broker.queues


def test_a_wrong_setting_for_a_queue_is_refused_where_it_is_declared(off_duty: OnDuty) -> None:
    duty = off_duty(queues={"REPORTS_MAX_RETRIES": "many"})

    with pytest.raises(SettingsError, match="REPORTS_MAX_RETRIES"):
        dramatiq.actor(queue_name="reports", broker=duty.broker, actor_name="report")(lambda: None)


RULES = settings(None, queues={"PROBE_MAX_RETRIES": "5", "PROBE_RETRY_DELAY": "3000"}).queue(QUEUE)


def ordered(**options: Any) -> NewJob:
    message: dramatiq.Message[Any] = dramatiq.Message(QUEUE, "add", (1,), {}, {})
    return job_of(message, None, RULES, options=options, delay=0)


def test_what_an_actor_leaves_open_the_queue_decides() -> None:
    job = ordered()

    assert (job.max_attempts, job.backoff.initial) == (6, timedelta(seconds=3))
    assert (job.timeout, job.delay) == (timedelta(minutes=10), timedelta(0))


def test_options_are_dramatiqs_own() -> None:
    job = ordered(max_retries=1, min_backoff=100, max_backoff=500, time_limit=5000)

    assert job.max_attempts == 2
    assert (job.backoff.initial, job.backoff.longest) == (timedelta(milliseconds=100), timedelta(milliseconds=500))
    assert job.timeout == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("given", "taken"),
    [(1, timedelta(seconds=1)), (float("inf"), timedelta(hours=24)), (60_000, timedelta(minutes=1))],
)
def test_a_time_limit_is_brought_into_range(given: float, taken: timedelta) -> None:
    assert ordered(time_limit=given).timeout == taken


def test_a_first_wait_of_hours_is_no_contradiction() -> None:
    """The usual maximum is an hour."""
    assert ordered(min_backoff=7_200_000).backoff.longest == timedelta(hours=2)


def test_a_secret_is_kept_apart_when_a_task_is_sent() -> None:
    payload = {"email": "ada@example.org", "code": "123456", "first_name": "Ada"}
    message: dramatiq.Message[Any] = dramatiq.Message("email", email.VERIFICATION_CODE.name, (payload,), {}, {})

    job = job_of(message, email.VERIFICATION_CODE, RULES, options={}, delay=0)

    assert b"123456" in job.payload
    assert job.masked == b'{"email":"ada@example.org","code":"***","first_name":"Ada"}'
