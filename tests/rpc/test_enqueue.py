"""What Enqueue stores, and what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from cabrank.v1 import job_pb2, queue_pb2
from cabrank.v1.queue_pb2 import EnqueueRequest, EnqueueResponse, GetJobRequest
from cabrank.v1.queue_pb2_grpc import QueueServiceStub
from google.protobuf.struct_pb2 import Struct

from server.engine.async_engine import AsyncEngine
from server.engine.job import JobState
from server.engine.look import stats
from server.settings import Settings
from tests.engine.hands import Worker, completed
from tests.rpc.conftest import Door, opened
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

WELCOME = "email.welcome"
PAYLOAD = '{"user_id": "u1", "course_id": "c1"}'
SECRETS = '{"email": "ada@example.org", "code": "123456", "first_name": "Ada"}'


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def everything() -> EnqueueRequest:
    """A request that leaves nothing to defaults."""
    request = EnqueueRequest(
        queue="email",
        task=WELCOME,
        payload_json=PAYLOAD,
        labels={"tenant": "north"},
        job_id="job-1",
        idempotency_key="once",
        unique_key="course-7",
        on_conflict=queue_pb2.ON_CONFLICT_REFUSE,
        priority=7,
        max_attempts=9,
        backoff=job_pb2.Backoff(kind=job_pb2.BACKOFF_KIND_LINEAR, multiplier=1.5, jitter=0),
    )
    request.unique_for.FromTimedelta(timedelta(hours=1))
    request.run_at.FromDatetime(in_seconds(3600))
    request.expires_at.FromDatetime(in_seconds(7200))
    request.backoff.initial.FromTimedelta(timedelta(seconds=1.5))
    request.backoff.max.FromTimedelta(timedelta(minutes=1))
    request.timeout.FromTimedelta(timedelta(seconds=30))
    request.retention.FromTimedelta(timedelta(days=2))
    return request


async def test_the_answer_is_the_job_as_get_job_tells_it(queues: QueueServiceAsyncStub) -> None:
    """It is put together without asking Redis again: here is the proof that nothing of it differs."""
    for request in (EnqueueRequest(task=WELCOME, payload_json=PAYLOAD), everything()):
        answer = await queues.Enqueue(request)
        told = await queues.GetJob(GetJobRequest(queue="email", job_id=answer.job.id))

        assert answer.created
        assert answer.job == told.job


async def test_what_a_request_says_is_what_is_stored(queues: QueueServiceAsyncStub) -> None:
    request = everything()

    job = (await queues.Enqueue(request)).job

    assert (job.queue, job.id, job.task, job.state) == ("email", "job-1", WELCOME, job_pb2.JOB_STATE_DELAYED)
    assert (job.payload_json, dict(job.labels), job.unique_key) == (PAYLOAD, {"tenant": "north"}, "course-7")
    assert (job.priority, job.max_attempts, job.backoff) == (7, 9, request.backoff)
    assert (job.timeout, job.retention) == (request.timeout, request.retention)
    # Kept in whole milliseconds.
    assert job.run_time.ToMilliseconds() == request.run_at.ToMilliseconds()
    assert job.expires_at.ToMilliseconds() == request.expires_at.ToMilliseconds()


async def test_what_a_request_leaves_out_comes_from_the_task_and_its_queue(queues: QueueServiceAsyncStub) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)

    job = (await queues.Enqueue(EnqueueRequest(task=WELCOME, payload_json=PAYLOAD))).job

    assert (job.queue, job.state, job.priority) == ("email", job_pb2.JOB_STATE_WAITING, 0)
    assert job.max_attempts == 4  # JOB_MAX_RETRIES, and the first one
    assert job.backoff.kind == job_pb2.BACKOFF_KIND_EXPONENTIAL
    assert job.backoff.initial.ToTimedelta() == timedelta(seconds=2)  # JOB_RETRY_DELAY
    assert job.timeout.ToTimedelta() == timedelta(minutes=10)
    assert len(job.id) == 24
    assert before <= job.create_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert not any(job.HasField(name) for name in ("run_time", "expires_at", "retention", "start_time", "end_time"))


async def test_a_part_of_a_backoff_leaves_the_rest_as_usual(queues: QueueServiceAsyncStub) -> None:
    """Also the maximum, unless the wait that was asked for is longer."""
    request = EnqueueRequest(task=WELCOME, payload_json=PAYLOAD)
    request.backoff.initial.FromTimedelta(timedelta(hours=5))

    backoff = (await queues.Enqueue(request)).job.backoff

    assert backoff.kind == job_pb2.BACKOFF_KIND_EXPONENTIAL
    assert backoff.initial.ToTimedelta() == backoff.max.ToTimedelta() == timedelta(hours=5)
    assert (backoff.multiplier, backoff.jitter) == (2, 0.5)


async def test_a_delay_counts_from_now_and_a_past_start_means_at_once(queues: QueueServiceAsyncStub) -> None:
    delayed, past = (EnqueueRequest(task=WELCOME, payload_json=PAYLOAD) for _ in range(2))
    delayed.delay.FromTimedelta(timedelta(days=10))
    past.run_at.FromDatetime(in_seconds(-60))

    late = (await queues.Enqueue(delayed)).job
    at_once = (await queues.Enqueue(past)).job

    assert late.run_time.ToDatetime() - late.create_time.ToDatetime() == timedelta(days=10)
    assert at_once.state == job_pb2.JOB_STATE_WAITING


async def test_payload_json_reaches_the_worker_byte_for_byte(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    """Also what a parser would tidy up: white space, the order of members, escapes."""
    payload = '{\n "course_id" : "c\\u0031",\t"user_id":"u1"}'

    answer = await queues.Enqueue(EnqueueRequest(task=WELCOME, payload_json=payload))

    assert worker.take_one().payload == payload.encode()
    assert answer.job.payload_json == payload


async def test_a_struct_becomes_the_same_payload(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    struct = Struct()
    struct.update({"user_id": "u1", "course_id": "c1"})

    await queues.Enqueue(EnqueueRequest(task=WELCOME, payload=struct))

    assert json.loads(worker.take_one().payload) == json.loads(PAYLOAD)


async def test_a_secret_is_shown_to_the_worker_alone(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    answer = await queues.Enqueue(EnqueueRequest(task="email.verification_code", payload_json=SECRETS))
    told = await queues.GetJob(GetJobRequest(queue="email", job_id=answer.job.id))

    for job in (answer.job, told.job):
        assert json.loads(job.payload_json) == json.loads(SECRETS) | {"code": "***"}
    assert worker.take_one().payload == SECRETS.encode()


@pytest.mark.parametrize(
    "key", [EnqueueRequest(job_id="one"), EnqueueRequest(idempotency_key="one"), EnqueueRequest(unique_key="one")]
)
async def test_a_job_that_was_there_before_is_the_answer(
    queues: QueueServiceAsyncStub, worker: Worker, key: EnqueueRequest
) -> None:
    """As it is now, not as it was."""
    request = EnqueueRequest(task=WELCOME, payload_json=PAYLOAD)
    request.MergeFrom(key)
    first = await queues.Enqueue(request)
    worker.take_one()

    again = await queues.Enqueue(request)

    assert (first.created, again.created) == (True, False)
    assert again.job.id == first.job.id
    assert again.job.state == job_pb2.JOB_STATE_ACTIVE
    assert again.job.worker == worker.name


async def test_a_request_sent_again_is_the_same_whatever_order_its_maps_have(queues: QueueServiceAsyncStub) -> None:
    """The order of a map is not kept on the wire."""
    names = [f"label-{n}" for n in range(16)]
    struct = Struct()
    struct.update({"user_id": "u1", "course_id": "c1"})

    answers = [
        await queues.Enqueue(
            EnqueueRequest(task=WELCOME, payload=struct, labels=dict.fromkeys(order, "x"), idempotency_key="once")
        )
        for order in (names, reversed(names), sorted(names))
    ]

    assert [answer.created for answer in answers] == [True, False, False]
    assert answers[0].job == answers[2].job


@pytest.mark.parametrize("key", [EnqueueRequest(job_id="one"), EnqueueRequest(idempotency_key="one")])
async def test_a_request_past_its_expiry_is_taken_and_fails_as_expired(
    queues: QueueServiceAsyncStub, worker: Worker, key: EnqueueRequest
) -> None:
    """Else whoever repeats it, because no answer came, would be told that it was refused, though it may have run."""
    late = EnqueueRequest(task=WELCOME, payload_json=PAYLOAD)
    late.MergeFrom(key)
    late.expires_at.FromDatetime(in_seconds(-60))
    first = await queues.Enqueue(late)
    assert worker.take(1) == []

    again = await queues.Enqueue(late)

    assert (first.created, again.created, again.job.id) == (True, False, first.job.id)
    assert (again.job.state, again.job.failure.reason) == (job_pb2.JOB_STATE_FAILED, job_pb2.FAILURE_REASON_EXPIRED)


@pytest.mark.parametrize(
    ("key", "reason", "field"),
    [
        (EnqueueRequest(job_id="one"), "JOB_EXISTS", "job_id"),
        (EnqueueRequest(idempotency_key="one"), "IDEMPOTENCY_KEY_REUSED", "idempotency_key"),
        (
            EnqueueRequest(unique_key="one", on_conflict=queue_pb2.ON_CONFLICT_REFUSE),
            "UNIQUE_CONFLICT",
            "unique_key",
        ),
    ],
)
async def test_another_request_with_the_same_key_is_refused(
    queues: QueueServiceAsyncStub, key: EnqueueRequest, reason: str, field: str
) -> None:
    """And leaves the first job as it was."""
    first, other = EnqueueRequest(task=WELCOME, payload_json=PAYLOAD), EnqueueRequest(task=WELCOME, priority=9)
    other.payload_json = PAYLOAD
    first.MergeFrom(key)
    other.MergeFrom(key)
    job = (await queues.Enqueue(first)).job

    refusal = await refused(queues.Enqueue(other))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, reason)
    assert (refusal.fields, refusal.resource) == ((field,), job.id)
    assert (await queues.GetJob(GetJobRequest(queue="email", job_id=job.id))).job == job


async def test_an_idempotency_key_outlives_its_job(
    queues: QueueServiceAsyncStub, worker: Worker, forget: Callable[[], None]
) -> None:
    """Of a job that is gone meanwhile the answer knows the name alone."""
    request = EnqueueRequest(task=WELCOME, payload_json=PAYLOAD, idempotency_key="once")
    first = await queues.Enqueue(request)
    worker.engine.run(completed(worker.take_one()))
    forget()

    again = await queues.Enqueue(request)

    assert not again.created
    assert again.job == job_pb2.Job(queue="email", id=first.job.id)
    assert worker.engine.run(stats("email"))[JobState.WAITING] == 0


async def test_a_replaced_job_is_told_as_it_became(queues: QueueServiceAsyncStub) -> None:
    first = await queues.Enqueue(EnqueueRequest(task=WELCOME, payload_json=PAYLOAD, unique_key="one"))
    newer = EnqueueRequest(
        task=WELCOME,
        payload_json='{"user_id":"u2","course_id":"c2"}',
        unique_key="one",
        on_conflict=queue_pb2.ON_CONFLICT_REPLACE,
    )

    answer = await queues.Enqueue(newer)

    assert not answer.created
    assert answer.job.id == first.job.id
    assert answer.job.payload_json == newer.payload_json


async def test_one_key_a_thousand_times_from_16_connections_is_one_job(door: Door, worker: Worker) -> None:
    """`created` is told exactly once."""
    request = EnqueueRequest(task=WELCOME, payload_json=PAYLOAD, idempotency_key="once")
    own = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(door.address, options=own) for _ in range(16)]

    answers = await asyncio.gather(*(QueueServiceStub(channels[n % 16]).Enqueue(request) for n in range(1000)))
    await asyncio.gather(*(channel.close() for channel in channels))

    assert sum(answer.created for answer in answers) == 1
    assert len({answer.job.id for answer in answers}) == 1
    assert worker.engine.run(stats("email"))[JobState.WAITING] == 1


async def test_a_request_is_the_same_after_a_change_of_settings(redis_engine: AsyncEngine) -> None:
    """Defaults fill a request up, but they are not what the caller said: a deploy makes no other request of it."""
    request = EnqueueRequest(task=WELCOME, payload_json='{"user_id":"u1","course_id":"c1"}', idempotency_key="k")
    before, after = (Settings.from_environment({"JOB_RETRY_DELAY": delay}) for delay in ("2000", "3000"))

    first = await enqueued(redis_engine, before, request)
    again = await enqueued(redis_engine, after, request)

    assert (first.created, again.created) == (True, False)
    assert again.job.id == first.job.id


async def enqueued(engine: AsyncEngine, settings: Settings, request: EnqueueRequest) -> EnqueueResponse:
    async with opened(engine, settings=settings) as door, grpc.aio.insecure_channel(door.address) as channel:
        answer: EnqueueResponse = await QueueServiceStub(channel).Enqueue(request)
    return answer
