"""CancelJob: what has not started is taken back, what runs is asked to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cabrank.v1 import job_pb2
from cabrank.v1.queue_pb2 import CancelJobRequest, EnqueueRequest
from grpc import StatusCode

from tests.engine.hands import Worker, completed, stopped
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

WELCOME = EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}', job_id="one")
CANCEL = CancelJobRequest(queue="email", job_id="one", reason="changed her mind")


async def test_a_waiting_job_is_cancelled(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    """A second call answers the same, and keeps the first reason."""
    await queues.Enqueue(WELCOME)

    job = (await queues.CancelJob(CANCEL)).job
    again = (await queues.CancelJob(CancelJobRequest(queue="email", job_id="one", reason="other"))).job

    assert (job.state, job.cancel_reason) == (job_pb2.JOB_STATE_CANCELLED, "changed her mind")
    assert job.HasField("end_time")
    assert again == job
    assert worker.take() == []


async def test_an_active_job_is_asked_to_stop(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    await queues.Enqueue(WELCOME)
    running = worker.take_one()

    asked = (await queues.CancelJob(CANCEL)).job
    worker.engine.run(stopped(running))
    job = (await queues.CancelJob(CANCEL)).job

    assert (asked.state, asked.cancel_requested) == (job_pb2.JOB_STATE_ACTIVE, True)
    assert (job.state, job.cancel_reason) == (job_pb2.JOB_STATE_CANCELLED, "changed her mind")


async def test_a_completed_job_cannot_be_cancelled(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    await queues.Enqueue(WELCOME)
    worker.engine.run(completed(worker.take_one()))

    refusal = await refused(queues.CancelJob(CANCEL))

    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "JOB_STATE")
    assert refusal.metadata == {"state": "completed"}


async def test_a_job_that_is_not_there_is_not_found(queues: QueueServiceAsyncStub) -> None:
    refusal = await refused(queues.CancelJob(CANCEL))

    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert refusal.resource == "one"
