"""SignalJob: what a job waited for has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cabrank.v1 import job_pb2
from cabrank.v1.job_pb2 import Job
from cabrank.v1.queue_pb2 import EnqueueRequest, SignalJobRequest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from tests.engine.hands import Settle, Worker, completed, retried, snoozed
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

WELCOME = EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}', job_id="one")
TOMORROW = EnqueueRequest(delay=Duration(seconds=86_400))
SIGNAL = SignalJobRequest(queue="email", job_id="one")


async def enqueue(queues: QueueServiceAsyncStub, more: EnqueueRequest | None = None) -> None:
    request = EnqueueRequest()
    request.CopyFrom(WELCOME)
    request.MergeFrom(more or EnqueueRequest())
    await queues.Enqueue(request)


async def signalled(queues: QueueServiceAsyncStub) -> Job:
    return (await queues.SignalJob(SIGNAL)).job


async def test_a_delayed_job_may_start_now(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    """A second signal answers the same."""
    await enqueue(queues, TOMORROW)
    assert worker.take() == []

    job = await signalled(queues)
    again = await signalled(queues)

    assert (job.state, job.HasField("run_time")) == (job_pb2.JOB_STATE_WAITING, False)
    assert again == job
    assert worker.take_one().request.id == "one"


async def test_a_snoozed_job_may_start_now(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    await enqueue(queues)
    worker.engine.run(snoozed(worker.take_one()))

    job = await signalled(queues)

    assert (job.state, job.snoozes) == (job_pb2.JOB_STATE_WAITING, 1)


async def test_a_waiting_job_stays_as_it_is(queues: QueueServiceAsyncStub) -> None:
    await enqueue(queues)

    assert (await signalled(queues)).state == job_pb2.JOB_STATE_WAITING


@pytest.mark.parametrize("settle", [retried, snoozed])
async def test_an_active_job_is_not_put_off_once_more(
    queues: QueueServiceAsyncStub, worker: Worker, settle: Settle
) -> None:
    """The signal came while it ran: its next attempt may already find what this one lacked."""
    await enqueue(queues)
    running = worker.take_one()

    job = await signalled(queues)
    worker.engine.run(settle(running))
    put_off = worker.take_one()
    worker.engine.run(settle(put_off))

    assert job.state == job_pb2.JOB_STATE_ACTIVE
    assert worker.take() == []  # one signal counts once


async def test_a_job_that_has_ended_cannot_be_signalled(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    await enqueue(queues)
    worker.engine.run(completed(worker.take_one()))

    refusal = await refused(queues.SignalJob(SIGNAL))

    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "JOB_STATE")
    assert refusal.metadata == {"state": "completed"}


async def test_a_job_that_is_not_there_is_not_found(queues: QueueServiceAsyncStub) -> None:
    refusal = await refused(queues.SignalJob(SIGNAL))

    assert (refusal.code, refusal.reason, refusal.resource) == (StatusCode.NOT_FOUND, "JOB_NOT_FOUND", "one")
