"""AdminService on many jobs: in steps, within the caller's deadline, in answers that fit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cabrank.v1 import admin_pb2 as pb
from cabrank.v1 import job_pb2
from cabrank.v1.queue_pb2 import EnqueueRequest

from server.engine.admit import cancel
from server.engine.job import JobError, JobState, NewJob, Unique
from server.engine.look import stats
from server.engine.work import FinalFailure, fail
from tests.admin.hands import numbered, place, until
from tests.engine.hands import EXHAUSTED, QUEUE, Worker, new_job, put, run_of

if TYPE_CHECKING:
    from cabrank.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

MANY = 20_000
WHOLE_MINUTE = 60.0  # a deadline that is not the point
FAILED, WAITING = job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_WAITING
VERBS: dict[str, tuple[JobState, str, Any]] = {
    "retry": (JobState.FAILED, "RetryFailedJobs", pb.RetryFailedJobsRequest(queue=QUEUE)),
    "clean": (JobState.FAILED, "CleanQueue", pb.CleanQueueRequest(queue=QUEUE, state=FAILED)),
    "purge": (JobState.WAITING, "PurgeQueue", pb.PurgeQueueRequest(queue=QUEUE)),
}
every_verb = pytest.mark.parametrize(("state", "rpc", "request_"), VERBS.values(), ids=VERBS)


def crowd(worker: Worker, state: JobState) -> None:
    for at in range(MANY // 1000):
        place(worker, state, numbered(1000, name=f"j{at}"))


@every_verb
async def test_a_verb_answers_before_its_deadline_and_goes_on_when_called_again(
    admin: AdminServiceAsyncStub, worker: Worker, state: JobState, rpc: str, request_: Any
) -> None:
    crowd(worker, state)
    verb = getattr(admin, rpc)

    first = await verb(request_, timeout=0.7)
    second = await verb(request_, timeout=WHOLE_MINUTE)

    assert 0 < first.done < MANY
    assert first.done + first.remaining == MANY
    assert (second.done, second.remaining) == (first.remaining, 0)


@every_verb
async def test_a_short_deadline_is_used_as_well(
    admin: AdminServiceAsyncStub, worker: Worker, state: JobState, rpc: str, request_: Any
) -> None:
    place(worker, state, numbered(1000))

    answer = await getattr(admin, rpc)(request_, timeout=0.4)

    assert answer.done > 0
    assert answer.done + answer.remaining == 1000


@every_verb
async def test_a_verb_takes_what_was_there_while_enqueueing_goes_on(
    admin: AdminServiceAsyncStub,
    queues: QueueServiceAsyncStub,
    worker: Worker,
    state: JobState,
    rpc: str,
    request_: Any,
) -> None:
    crowd(worker, state)
    call = asyncio.ensure_future(getattr(admin, rpc)(request_, timeout=WHOLE_MINUTE))
    job = EnqueueRequest(task="email.welcome", payload_json='{"user_id":"u1","course_id":"c1"}')
    before = after = 0  # jobs that were enqueued while the call had not begun, and after that
    while not call.done():
        begun = counted(worker)[state] < MANY
        await queues.Enqueue(job)
        after, before = after + begun, before + (not begun)

    answer = call.result()
    left = counted(worker)
    revived = answer.done if rpc == "RetryFailedJobs" else 0
    assert (answer.remaining, left[JobState.FAILED]) == (0, 0)
    assert after > 0
    assert left[JobState.WAITING] - revived in range(after, after + before + 1)
    assert answer.done in range(MANY, MANY + before + 1)


def counted(worker: Worker) -> dict[JobState, int]:
    return worker.engine.run(stats(QUEUE)).jobs


async def test_a_caller_who_leaves_ends_the_verb(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    """What was begun is done to its end; nothing is begun any more."""
    crowd(worker, JobState.FAILED)
    call = admin.CleanQueue(pb.CleanQueueRequest(queue=QUEUE, state=FAILED), timeout=WHOLE_MINUTE)
    await until(lambda: counted(worker)[JobState.FAILED] < MANY)
    call.cancel()

    answer = await admin.CleanQueue(pb.CleanQueueRequest(queue=QUEUE, state=FAILED, dry_run=True))
    later = await admin.CleanQueue(pb.CleanQueueRequest(queue=QUEUE, state=FAILED, dry_run=True))

    assert 0 < later.done <= answer.done < MANY
    assert answer.done - later.done <= 200


def wordy(count: int) -> Iterator[NewJob]:
    """Jobs with all that a caller may write, in letters of 4 bytes, and the longest names."""
    for n in range(count):
        mark = f"{n:04}"
        yield new_job(
            mark.ljust(100, "x"),
            task="t" * 200,
            unique=Unique(key=mark.ljust(200, "🚕")),
            labels={f"{at:02}".ljust(100, "🚕"): "🚕" * 100 for at in range(16)},
            expires_at=None,
            retention=timedelta(days=366),
        )


@pytest.mark.parametrize("state", [JobState.WAITING, JobState.ACTIVE, JobState.FAILED, JobState.CANCELLED])
async def test_a_page_fits_into_an_answer_however_much_is_written_in_its_jobs(
    admin: AdminServiceAsyncStub, worker: Worker, state: JobState
) -> None:
    """gRPC's clients take 4 MiB; the rest is on the next page."""
    worker.name = "w" * 200
    jobs = list(wordy(1000))
    for at in range(0, 1000, 100):
        put(worker.engine, *jobs[at : at + 100])
    bring(worker, state, jobs)
    request = pb.ListJobsRequest(
        queue=QUEUE,
        state=job_pb2.JobState.Value(f"JOB_STATE_{state.name}"),
        page_size=1000,
        order=pb.LIST_ORDER_OLDEST_FIRST,
    )

    pages = [await admin.ListJobs(request)]
    while pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(await admin.ListJobs(request))

    assert max(page.ByteSize() for page in pages) < 4 * 1024**2
    assert sum(page.ByteSize() for page in pages) > 12 * 1024**2
    assert len(pages) <= 8
    assert [job.id for page in pages for job in page.jobs] == [job.id for job in jobs]


def bring(worker: Worker, state: JobState, jobs: list[NewJob]) -> None:
    if state is JobState.CANCELLED:
        for job in jobs:
            worker.engine.run(cancel(QUEUE, job.id, "🚕" * 200))
    if state not in (JobState.ACTIVE, JobState.FAILED):
        return
    error = JobError(type="E" * 200, message="🚕" * 1000, stack_trace="🚕" * 8000)
    while taken := worker.take(100):
        if state is JobState.FAILED:
            ends = [FinalFailure(run=run_of(job), failure=EXHAUSTED, error=error) for job in taken]
            worker.engine.run(fail(QUEUE, ends))


async def test_a_page_of_1000_usual_jobs_is_one_answer(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    labels = {"course": "7", "tenant": "acme", "trace": "0af7651916cd43dd8448eb211c80319c"}
    put(worker.engine, *(new_job(each, labels=labels) for each in numbered(1000)))
    error = JobError(type="SmtpRefused", message="x" * 1000, stack_trace="y" * 8000)
    ends = [FinalFailure(run=run_of(job), failure=EXHAUSTED, error=error) for job in worker.take(1000)]
    worker.engine.run(fail(QUEUE, ends))

    page = await admin.ListJobs(pb.ListJobsRequest(queue=QUEUE, state=FAILED, page_size=1000))

    assert (len(page.jobs), page.next_page_token) == (1000, "")
    assert page.ByteSize() < 2 * 1024**2


async def test_a_deadline_that_is_over_is_told_as_such(admin: AdminServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.CleanQueue(pb.CleanQueueRequest(queue=QUEUE), timeout=0)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
