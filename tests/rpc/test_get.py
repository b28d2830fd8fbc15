"""GetJob: all that is known of a job, at every turn of its life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cabrank.v1 import job_pb2
from cabrank.v1.job_pb2 import Job
from cabrank.v1.queue_pb2 import EnqueueRequest, GetJobRequest
from grpc import StatusCode

from server.engine.job import LeasedJob
from server.engine.work import note
from tests.engine.hands import ERROR, EXHAUSTED, Worker, completed, failed, retried, snoozed
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

ONE = GetJobRequest(queue="email", job_id="one")


@pytest.fixture
async def leased(queues: QueueServiceAsyncStub, worker: Worker) -> LeasedJob:
    await queues.Enqueue(
        EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}', job_id="one")
    )
    return worker.take_one()


async def told(queues: QueueServiceAsyncStub) -> Job:
    return (await queues.GetJob(ONE)).job


async def test_a_running_job_tells_who_runs_it_and_how_far_it_is(
    queues: QueueServiceAsyncStub, worker: Worker, leased: LeasedJob
) -> None:
    worker.engine.run(note(leased.lease, progress=(40.0, "rendering")))
    worker.engine.run(note(leased.lease, line="half way"))

    job = await told(queues)

    assert (job.state, job.worker, job.attempts_made) == (job_pb2.JOB_STATE_ACTIVE, worker.name, 0)
    (attempt,) = job.attempts
    assert (attempt.number, attempt.worker, attempt.outcome) == (1, worker.name, job_pb2.ATTEMPT_OUTCOME_UNSPECIFIED)
    assert attempt.start_time == job.start_time
    assert not attempt.HasField("end_time")
    assert (job.progress.percent, job.progress.message) == (40, "rendering")
    assert [(line.attempt, line.text) for line in job.logs] == [(1, "half way")]


async def test_a_completed_job_tells_its_result(
    queues: QueueServiceAsyncStub, worker: Worker, leased: LeasedJob
) -> None:
    worker.engine.run(completed(leased, result=b'{"sent": true}'))

    job = await told(queues)

    assert (job.state, job.result_json, job.attempts_made) == (job_pb2.JOB_STATE_COMPLETED, '{"sent": true}', 1)
    assert job.attempts[0].outcome == job_pb2.ATTEMPT_OUTCOME_COMPLETED
    assert job.HasField("end_time")
    assert not job.HasField("failure")


async def test_a_job_that_waits_for_its_retry_tells_what_went_wrong(
    queues: QueueServiceAsyncStub, worker: Worker, leased: LeasedJob
) -> None:
    worker.engine.run(retried(leased, delay=timedelta(minutes=1)))

    job = await told(queues)

    assert (job.state, job.attempts_made) == (job_pb2.JOB_STATE_DELAYED, 1)
    assert job.run_time.ToDatetime(UTC) > datetime.now(UTC)
    assert job.attempts[0].outcome == job_pb2.ATTEMPT_OUTCOME_FAILED
    assert job.attempts[0].error == job_pb2.JobError(
        type=ERROR.type, message=ERROR.message, stack_trace=ERROR.stack_trace
    )


async def test_a_failed_job_tells_why(queues: QueueServiceAsyncStub, worker: Worker, leased: LeasedJob) -> None:
    worker.engine.run(failed(leased))

    job = await told(queues)

    assert (job.state, job.attempts_made) == (job_pb2.JOB_STATE_FAILED, 1)
    assert job.failure == job_pb2.JobFailure(reason=job_pb2.FAILURE_REASON_EXHAUSTED, message=EXHAUSTED.message)


async def test_a_snooze_costs_no_attempt(queues: QueueServiceAsyncStub, worker: Worker, leased: LeasedJob) -> None:
    worker.engine.run(snoozed(leased))

    job = await told(queues)

    assert (job.state, job.attempts_made, job.snoozes) == (job_pb2.JOB_STATE_DELAYED, 0, 1)


async def test_a_job_that_is_not_there_is_not_found(queues: QueueServiceAsyncStub) -> None:
    refusal = await refused(queues.GetJob(ONE))

    assert (refusal.code, refusal.reason, refusal.resource) == (StatusCode.NOT_FOUND, "JOB_NOT_FOUND", "one")
