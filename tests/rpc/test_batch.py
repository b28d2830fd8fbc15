"""EnqueueBatch: many jobs for one queue, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cabrank.v1 import queue_pb2
from cabrank.v1.queue_pb2 import EnqueueBatchRequest, EnqueueRequest, GetJobRequest
from grpc import StatusCode

from server.engine.look import stats
from tests.engine.hands import Worker
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

PAYLOAD = '{"user_id":"u1","course_id":"c1"}'
INVALID = StatusCode.INVALID_ARGUMENT


def welcome(payload: str = PAYLOAD, **rules: Any) -> EnqueueRequest:
    return EnqueueRequest(task="email.welcome", payload_json=payload, **rules)


def stored(worker: Worker) -> int:
    return sum(worker.engine.run(stats("email")).jobs.values())


async def test_every_job_is_answered_in_its_place(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    ids = [f"job-{n}" for n in range(1000)]

    answer = await queues.EnqueueBatch(EnqueueBatchRequest(jobs=[welcome(job_id=job_id) for job_id in ids]))

    assert [result.job.id for result in answer.results] == ids
    assert all(result.created for result in answer.results)
    assert stored(worker) == 1000


async def test_jobs_are_told_in_short(queues: QueueServiceAsyncStub) -> None:
    """An answer with every payload could be larger than the 4 MiB that clients take: after the commit."""
    batch = EnqueueBatchRequest(jobs=[welcome(labels={"tenant": "north"}, priority=3)])

    (result,) = (await queues.EnqueueBatch(batch)).results
    whole = (await queues.GetJob(GetJobRequest(queue="email", job_id=result.job.id))).job

    assert (whole.payload_json, dict(whole.labels)) == (PAYLOAD, {"tenant": "north"})
    whole.ClearField("payload_json")
    whole.ClearField("labels")
    assert result.job == whole


async def test_the_largest_batch_is_answered_within_what_clients_take(queues: QueueServiceAsyncStub) -> None:
    """The default limit of this client is 4 MiB, as everywhere."""
    large = '{"user_id":"u1",' + " " * 4000 + '"course_id":"c1"}'
    batch = EnqueueBatchRequest(jobs=[welcome(large) for _ in range(1000)])
    assert 3.8 * 1024**2 < batch.ByteSize() <= 4 * 1024**2

    assert len((await queues.EnqueueBatch(batch)).results) == 1000


async def test_a_batch_that_is_repeated_finds_its_jobs(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    batch = EnqueueBatchRequest(jobs=[welcome(idempotency_key=f"key-{n}") for n in range(300)])
    first = await queues.EnqueueBatch(batch)

    again = await queues.EnqueueBatch(batch)

    assert [result.job for result in again.results] == [result.job for result in first.results]
    assert not any(result.created for result in again.results)
    assert stored(worker) == 300


async def test_twins_within_a_batch_are_one_job(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    twins = EnqueueBatchRequest(jobs=[welcome(unique_key="one"), welcome(unique_key="one")])

    first, second = (await queues.EnqueueBatch(twins)).results

    assert (first.created, second.created) == (True, False)
    assert first.job == second.job
    assert stored(worker) == 1


async def test_one_bad_item_is_named_and_nothing_is_stored(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    jobs = [welcome() for _ in range(20)]
    jobs[17] = EnqueueRequest(
        task="email.verification_code", payload_json='{"email":"nobody","code":"1","first_name":"A"}'
    )
    jobs[19] = welcome(priority=1000)

    refusal = await refused(queues.EnqueueBatch(EnqueueBatchRequest(jobs=jobs)))

    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert refusal.fields == ("jobs[17].payload.email", "jobs[19].priority")
    assert stored(worker) == 0


async def test_an_item_that_cannot_be_read_at_all_is_named(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    large = '{"user_id":"' + "u" * 300 * 1024 + '"}'
    bad = {
        "TASK_NOT_FOUND": (EnqueueRequest(task="email.welcom"), "jobs[1].task"),
        "QUEUE_NOT_FOUND": (welcome(queue="emial"), "jobs[1].queue"),
        "PAYLOAD_TOO_LARGE": (welcome(large), "jobs[1].payload"),
        "INVALID_FIELD": (EnqueueRequest(), "jobs[1].task"),
    }
    for reason, (item, field) in bad.items():
        refusal = await refused(queues.EnqueueBatch(EnqueueBatchRequest(jobs=[welcome(), item])))

        assert (refusal.reason, refusal.fields) == (reason, (field,))
        assert "jobs[1]" in refusal.message
    assert stored(worker) == 0


async def test_an_item_that_the_engine_refuses_is_named(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    """And the job that is in its way."""
    await queues.Enqueue(welcome(job_id="first", idempotency_key="once", unique_key="one"))
    other = '{"user_id":"u2","course_id":"c1"}'
    bad = {
        "JOB_EXISTS": (welcome(other, job_id="first"), "jobs[2].job_id"),
        "IDEMPOTENCY_KEY_REUSED": (welcome(other, idempotency_key="once"), "jobs[2].idempotency_key"),
        "UNIQUE_CONFLICT": (welcome(unique_key="one", on_conflict=queue_pb2.ON_CONFLICT_REFUSE), "jobs[2].unique_key"),
    }
    for reason, (item, field) in bad.items():
        refusal = await refused(queues.EnqueueBatch(EnqueueBatchRequest(jobs=[welcome(), welcome(), item])))

        assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, reason)
        assert (refusal.fields, refusal.resource) == ((field,), "first")
    assert stored(worker) == 1


async def test_a_batch_is_for_one_queue(queues: QueueServiceAsyncStub) -> None:
    for batch, field in (
        (EnqueueBatchRequest(queue="sync", jobs=[welcome()]), "jobs[0].task"),
        (EnqueueBatchRequest(queue="email", jobs=[welcome(queue="sync")]), "jobs[0].queue"),
        (EnqueueBatchRequest(queue="email"), "jobs"),
    ):
        refusal = await refused(queues.EnqueueBatch(batch))

        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", (field,))


async def test_a_batch_over_its_limits_is_told_both(queues: QueueServiceAsyncStub, worker: Worker) -> None:
    large = '{"user_id":"u1",' + " " * 200_000 + '"course_id":"c1"}'
    too_many = EnqueueBatchRequest(jobs=[welcome() for _ in range(1001)])
    too_large = EnqueueBatchRequest(jobs=[welcome(large) for _ in range(22)])

    for batch in (too_many, too_large):
        refusal = await refused(queues.EnqueueBatch(batch))

        assert (refusal.code, refusal.reason) == (INVALID, "BATCH_TOO_LARGE")
        assert refusal.metadata == {"limit_jobs": "1000", "limit_bytes": str(4 * 1024**2)}
    assert stored(worker) == 0
