"""AdminService: what operators see and do, on a queue with jobs in every state."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import redis
from cabrank.v1 import admin_pb2 as pb
from cabrank.v1 import job_pb2
from cabrank.v1.queue_pb2 import EnqueueRequest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from server.engine.job import JobState
from server.engine.mend import hasten
from server.engine.names import new_job_id
from server.engine.work import Attention, Run, attend, extend, note
from tests.admin.hands import numbered, place, until
from tests.engine.hands import (
    ERROR,
    EXHAUSTED,
    LEASE,
    QUEUE,
    Worker,
    completed,
    failed,
    new_job,
    put,
    released,
    retried,
)

if TYPE_CHECKING:
    from cabrank.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

HOUR = timedelta(hours=1)
EMAIL = pb.GetQueueRequest(queue=QUEUE)


@pytest.fixture
def crowd(worker: Worker) -> Worker:
    """A queue with jobs in every state: 1 active, 2 completed, 3 failed, 4 cancelled, 5 delayed and 6 waiting."""
    began = datetime.now(UTC) - HOUR
    worker.engine.run(attend(QUEUE, worker.name, tasks=["email.welcome"], threads=8, started_at=began))
    for state, count in (
        (JobState.COMPLETED, 2),
        (JobState.FAILED, 3),
        (JobState.CANCELLED, 4),
        (JobState.ACTIVE, 1),
        (JobState.DELAYED, 5),
        (JobState.WAITING, 6),
    ):
        place(worker, state, [new_job(each, labels={"course": "7"}) for each in numbered(count, name=state)])
    return worker


async def told(admin: AdminServiceAsyncStub, job_id: str, *, explain: bool = False) -> pb.AdminServiceGetJobResponse:
    return await admin.GetJob(pb.AdminServiceGetJobRequest(queue=QUEUE, job_id=job_id, explain=explain))


async def test_a_queue_tells_how_it_is_doing(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    queue = (await admin.GetQueue(EMAIL)).queue

    assert (queue.name, queue.total) == ("email", 21)
    assert (queue.waiting, queue.active, queue.completed) == (6, 1, 2)
    assert (queue.failed, queue.delayed, queue.cancelled) == (3, 5, 4)
    assert (queue.stalled, queue.workers, queue.concurrency) == (0, 1, 5)
    assert not queue.paused
    assert not any(queue.HasField(name) for name in ("pause_time", "resume_time"))
    assert timedelta(0) <= queue.oldest_waiting.ToTimedelta() < timedelta(minutes=1)
    assert timedelta(0) <= queue.oldest_active.ToTimedelta() < timedelta(minutes=1)
    assert (queue.enqueued_total, queue.completed_total, queue.failed_total, queue.cancelled_total) == (21, 2, 3, 4)
    assert (queue.retried_total, queue.removed_total) == (0, 0)
    assert not queue.settings.HasField("rate_limit")
    assert queue.settings.completed_retention == pb.Retention(age=Duration(seconds=86_400), count=10_000)
    assert queue.settings.failed_retention == pb.Retention(age=Duration(seconds=30 * 86_400), count=10_000)
    assert queue.settings.health == pb.HealthThresholds(failed=10, waiting=100, stalled=0, workers=True)
    assert list(queue.settings.updated) == []


async def test_a_queue_with_nothing_in_it_says_so(admin: AdminServiceAsyncStub) -> None:
    queue = (await admin.GetQueue(pb.GetQueueRequest(queue="sync"))).queue

    assert (queue.total, queue.workers, queue.concurrency) == (0, 0, 2)
    assert not queue.HasField("oldest_waiting")
    assert not queue.HasField("oldest_active")


async def test_all_queues_are_told_at_once(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    queues = (await admin.ListQueues(pb.ListQueuesRequest())).queues

    assert {queue.name: queue.total for queue in queues} == {
        "email": 21, "sync": 0, "payment": 0, "enrollment": 0, "notification": 0, "cleanup": 0,
    }  # fmt: skip


async def test_health_is_told_for_people_and_for_programs(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    well = await admin.GetHealth(pb.GetHealthRequest())
    thresholds = pb.HealthThresholds(failed=2, waiting=5)
    await admin.UpdateQueue(pb.UpdateQueueRequest(queue=QUEUE, health=thresholds))

    ill = await admin.GetHealth(pb.GetHealthRequest())

    assert (well.healthy, list(well.issues), list(well.details)) == (True, [], [])
    assert (ill.healthy, list(ill.issues)) == (False, ["email: 3 failed jobs", "email: 6 waiting jobs"])
    assert list(ill.details) == [
        pb.HealthIssue(queue=QUEUE, kind=pb.HEALTH_ISSUE_KIND_FAILED, observed=3, threshold=2),
        pb.HealthIssue(queue=QUEUE, kind=pb.HEALTH_ISSUE_KIND_WAITING, observed=6, threshold=5),
    ]
    assert set(ill.stats) == {"email", "sync", "payment", "enrollment", "notification", "cleanup"}
    assert ill.stats["email"].failed == 3


@pytest.mark.parametrize("state", JobState)
async def test_jobs_of_every_state_are_listed_with_their_labels(
    admin: AdminServiceAsyncStub, crowd: Worker, state: JobState
) -> None:
    wanted = job_pb2.JobState.Value(f"JOB_STATE_{state.name}")

    page = await admin.ListJobs(pb.ListJobsRequest(queue=QUEUE, state=wanted))

    assert page.total == len(page.jobs) > 0
    assert {job.id.partition("-")[0] for job in page.jobs} == {state}
    assert all(job.state == wanted and dict(job.labels) == {"course": "7"} for job in page.jobs)
    assert page.next_page_token == ""


async def test_a_list_leaves_out_what_is_large(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    put(worker.engine, "a")
    job = worker.take_one()
    worker.engine.run(note(job.lease, line="half way"))
    worker.engine.run(failed(job))

    (listed,) = (await admin.ListJobs(pb.ListJobsRequest(queue=QUEUE, state=job_pb2.JOB_STATE_FAILED))).jobs
    whole = (await told(admin, "a")).job

    (attempt,) = listed.attempts
    assert (attempt.error.type, attempt.error.message, attempt.error.stack_trace) == (ERROR.type, ERROR.message, "")
    assert (listed.payload_json, len(listed.logs), listed.failure.message) == ("", 0, EXHAUSTED.message)
    assert whole.attempts[0].error.stack_trace == ERROR.stack_trace
    assert (len(whole.logs), whole.payload_json) == (1, '{"user_id": "u1"}')


async def test_a_page_has_50_jobs_unless_another_size_is_asked(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    """More than 1,000 is taken as 1,000."""
    for at in range(2):
        put(worker.engine, *numbered(600, name=f"j{at}"))

    sizes = [
        len(
            (
                await admin.ListJobs(
                    pb.ListJobsRequest(queue=QUEUE, state=job_pb2.JOB_STATE_WAITING, page_size=page_size)
                )
            ).jobs
        )
        for page_size in (0, 1, 1000, 1001, 2**31 - 1)
    ]

    assert sizes == [50, 1, 1000, 1000, 1000]


async def test_pages_follow_each_other_in_the_order_that_is_asked(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    put(worker.engine, "a", "b", "c")

    async def walked(order: pb.ListOrder.ValueType) -> list[str]:
        request = pb.ListJobsRequest(queue=QUEUE, state=job_pb2.JOB_STATE_WAITING, page_size=2, order=order)
        found: list[str] = []
        while not found or request.page_token:
            page = await admin.ListJobs(request)
            found += [job.id for job in page.jobs]
            request.page_token = page.next_page_token
        return found

    assert await walked(pb.LIST_ORDER_UNSPECIFIED) == ["a", "b", "c"]
    assert await walked(pb.LIST_ORDER_OLDEST_FIRST) == ["a", "b", "c"]
    assert await walked(pb.LIST_ORDER_NEWEST_FIRST) == ["c", "b", "a"]


async def test_a_job_tells_every_attempt_what_its_actor_wrote_and_its_result(
    admin: AdminServiceAsyncStub, worker: Worker
) -> None:
    put(worker.engine, "a")
    first = worker.take_one()
    worker.engine.run(note(first.lease, line="half way"))
    worker.engine.run(retried(first, delay=timedelta(milliseconds=1)))
    worker.engine.run(hasten(QUEUE, "a"))
    again = worker.take_one()
    worker.engine.run(note(again.lease, progress=(90.0, "nearly"), line="again"))
    worker.engine.run(completed(again, result=b'{"sent": true}'))

    job = (await told(admin, "a")).job

    assert [(each.number, each.worker, each.outcome) for each in job.attempts] == [
        (1, worker.name, job_pb2.ATTEMPT_OUTCOME_FAILED),
        (2, worker.name, job_pb2.ATTEMPT_OUTCOME_COMPLETED),
    ]
    assert all(each.HasField("start_time") and each.HasField("end_time") for each in job.attempts)
    assert job.attempts[0].error.stack_trace == ERROR.stack_trace
    assert [(line.attempt, line.text) for line in job.logs] == [(1, "half way"), (2, "again")]
    assert (job.progress.percent, job.progress.message, job.result_json) == (90, "nearly", '{"sent": true}')


async def test_why_a_job_is_not_running_is_told_when_asked(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    end = Timestamp(seconds=int(time.time()) + 3600)
    await admin.PauseQueue(pb.PauseQueueRequest(queue=QUEUE, reason="SMTP moves", resume_time=end), timeout=0.6)

    quiet = await told(admin, "waiting-00003")
    explained = await told(admin, "waiting-00003", explain=True)

    assert list(quiet.wait_reasons) == []
    assert list(explained.wait_reasons) == [
        pb.WaitReason(kind=pb.WAIT_REASON_KIND_PAUSED, message="the queue is paused: SMTP moves", until_time=end),
        pb.WaitReason(kind=pb.WAIT_REASON_KIND_BACKLOG, message="3 jobs are before it", ahead=3),
    ]
    assert list((await told(admin, "active-00000", explain=True)).wait_reasons) == []


async def test_a_failed_job_is_retried(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    job = (await admin.RetryJob(pb.RetryJobRequest(queue=QUEUE, job_id="failed-00000"))).job

    assert (job.state, job.retries, job.attempts_made) == (job_pb2.JOB_STATE_WAITING, 1, 0)
    assert len(job.attempts) == 1
    queue = (await admin.GetQueue(EMAIL)).queue
    assert (queue.failed, queue.waiting, queue.retried_total) == (2, 7, 1)


async def test_a_job_is_removed(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    assert await admin.RemoveJob(pb.RemoveJobRequest(queue=QUEUE, job_id="waiting-00000")) == pb.RemoveJobResponse()

    queue = (await admin.GetQueue(EMAIL)).queue
    assert (queue.waiting, queue.total, queue.removed_total, queue.enqueued_total) == (5, 20, 1, 21)


async def test_a_delayed_job_is_promoted(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    job = (await admin.PromoteJob(pb.PromoteJobRequest(queue=QUEUE, job_id="delayed-00000"))).job

    assert (job.state, job.HasField("run_time")) == (job_pb2.JOB_STATE_WAITING, False)


async def test_failed_jobs_are_retried_at_once(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    secret = new_job("secret", payload=b'{"code": "123456"}', masked=b'{"code": "***"}', priority=9)
    put(crowd.engine, secret)
    crowd.engine.run(failed(crowd.take_one()))

    dry = await admin.RetryFailedJobs(pb.RetryFailedJobsRequest(queue=QUEUE, dry_run=True))
    two = await admin.RetryFailedJobs(pb.RetryFailedJobsRequest(queue=QUEUE, limit=2))
    rest = await admin.RetryFailedJobs(pb.RetryFailedJobsRequest(queue=QUEUE, task="email.welcome"))
    none = await admin.RetryFailedJobs(
        pb.RetryFailedJobsRequest(queue=QUEUE, task="email.password_reset", older_than=Duration(seconds=1))
    )

    assert dry == pb.RetryFailedJobsResponse(done=3, skipped=1)
    assert two == pb.RetryFailedJobsResponse(done=2, remaining=2)
    assert rest == pb.RetryFailedJobsResponse(done=1, skipped=1)
    assert none == pb.RetryFailedJobsResponse()


async def test_completed_jobs_are_cleaned_unless_another_state_is_given(
    admin: AdminServiceAsyncStub, crowd: Worker
) -> None:
    usual = await admin.CleanQueue(pb.CleanQueueRequest(queue=QUEUE))
    dry = await admin.CleanQueue(
        pb.CleanQueueRequest(queue=QUEUE, state=job_pb2.JOB_STATE_FAILED, dry_run=True, limit=1)
    )
    young = await admin.CleanQueue(
        pb.CleanQueueRequest(queue=QUEUE, state=job_pb2.JOB_STATE_FAILED, older_than=Duration(seconds=3600))
    )
    cancelled = await admin.CleanQueue(pb.CleanQueueRequest(queue=QUEUE, state=job_pb2.JOB_STATE_CANCELLED, limit=3))

    assert usual == pb.CleanQueueResponse(done=2)
    assert dry == pb.CleanQueueResponse(done=1, remaining=2)
    assert young == pb.CleanQueueResponse()
    assert cancelled == pb.CleanQueueResponse(done=3, remaining=1)
    queue = (await admin.GetQueue(EMAIL)).queue
    assert (queue.completed, queue.failed, queue.cancelled, queue.removed_total) == (0, 3, 1, 5)
    assert (queue.completed_total, queue.failed_total, queue.cancelled_total) == (2, 3, 4)


async def test_the_waiting_and_the_delayed_are_purged_unless_one_state_is_given(
    admin: AdminServiceAsyncStub, crowd: Worker
) -> None:
    dry = await admin.PurgeQueue(pb.PurgeQueueRequest(queue=QUEUE, dry_run=True))
    delayed = await admin.PurgeQueue(pb.PurgeQueueRequest(queue=QUEUE, state=job_pb2.JOB_STATE_DELAYED, limit=3))
    young = await admin.PurgeQueue(pb.PurgeQueueRequest(queue=QUEUE, older_than=Duration(seconds=3600)))
    both = await admin.PurgeQueue(pb.PurgeQueueRequest(queue=QUEUE))

    assert dry == pb.PurgeQueueResponse(done=11)
    assert delayed == pb.PurgeQueueResponse(done=3, remaining=2)
    assert young == pb.PurgeQueueResponse()
    assert both == pb.PurgeQueueResponse(done=8)
    queue = (await admin.GetQueue(EMAIL)).queue
    assert (queue.waiting, queue.delayed, queue.active, queue.total) == (0, 0, 1, 10)


async def test_a_pause_waits_for_what_workers_hold(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    put(worker.engine, "a")
    job = worker.take_one()
    call = admin.PauseQueue(pb.PauseQueueRequest(queue=QUEUE, reason="SMTP moves"))
    unstarted = Run(lease=job.lease, started_after=None)
    sign_of_life = extend(QUEUE, [unstarted], lease=LEASE)

    await until(lambda: worker.engine.run(sign_of_life) == {"a": Attention.PAUSED})
    assert not call.done()
    worker.engine.run(released(job))

    answer = await call
    assert (answer.unconfirmed, answer.queue.paused, answer.queue.pause_reason) == (0, True, "SMTP moves")
    assert answer.queue.HasField("pause_time")
    assert not answer.queue.HasField("resume_time")
    assert worker.take() == []
    resumed = await admin.ResumeQueue(pb.ResumeQueueRequest(queue=QUEUE))
    assert not resumed.queue.paused
    assert worker.take() != []


async def test_a_pause_answers_before_the_deadline_what_is_unconfirmed(
    admin: AdminServiceAsyncStub, worker: Worker
) -> None:
    """Then it may be called again, to wait on."""
    put(worker.engine, "a")
    job = worker.take_one()
    first = await admin.PauseQueue(pb.PauseQueueRequest(queue=QUEUE), timeout=1.0)
    worker.engine.run(released(job))
    second = await admin.PauseQueue(pb.PauseQueueRequest(queue=QUEUE), timeout=1.0)

    assert (first.unconfirmed, first.queue.paused) == (1, True)
    assert (second.unconfirmed, second.queue.pause_time) == (0, first.queue.pause_time)


async def test_every_setting_is_updated_and_reset(admin: AdminServiceAsyncStub) -> None:
    before = (await admin.GetQueue(EMAIL)).queue.settings
    change = pb.UpdateQueueRequest(
        queue=QUEUE,
        concurrency=100_000,
        rate_limit=pb.RateLimit(count=1_000_000, period=Duration(nanos=1_000_000)),
        completed_retention=pb.Retention(age=Duration(seconds=1), count=0),
        failed_retention=pb.Retention(age=Duration(seconds=3650 * 86_400), count=10_000_000),
        health=pb.HealthThresholds(failed=0, waiting=10_000_000, stalled=7, workers=False),
    )

    settings = (await admin.UpdateQueue(change)).queue.settings
    reset = pb.UpdateQueueRequest(queue=QUEUE, reset=settings.updated)
    after = (await admin.UpdateQueue(reset)).queue.settings

    assert settings == pb.QueueSettings(
        concurrency=change.concurrency,
        rate_limit=change.rate_limit,
        completed_retention=change.completed_retention,
        failed_retention=change.failed_retention,
        health=change.health,
        updated=["concurrency", "rate_limit", "completed_retention", "failed_retention", "health"],
    )
    assert after == before


async def test_a_rate_limit_is_a_second_long_unless_said_and_count_0_lifts_it(admin: AdminServiceAsyncStub) -> None:
    limited = await admin.UpdateQueue(pb.UpdateQueueRequest(queue=QUEUE, rate_limit=pb.RateLimit(count=5)))
    lifted = await admin.UpdateQueue(pb.UpdateQueueRequest(queue=QUEUE, rate_limit=pb.RateLimit(count=0)))

    assert limited.queue.settings.rate_limit == pb.RateLimit(count=5, period=Duration(seconds=1))
    assert not lifted.queue.settings.HasField("rate_limit")
    assert list(lifted.queue.settings.updated) == ["rate_limit"]


async def test_workers_are_listed(admin: AdminServiceAsyncStub, crowd: Worker) -> None:
    (found,) = (await admin.ListWorkers(pb.ListWorkersRequest())).workers

    assert (found.name, list(found.queues), list(found.tasks)) == (crowd.name, ["email"], ["email.welcome"])
    assert (found.threads, found.active) == (8, 1)
    assert found.start_time.ToDatetime() < found.seen_time.ToDatetime()
    assert list((await admin.ListWorkers(pb.ListWorkersRequest(queue="email"))).workers) == [found]
    assert list((await admin.ListWorkers(pb.ListWorkersRequest(queue="sync"))).workers) == []


async def test_a_secret_is_never_shown(
    admin: AdminServiceAsyncStub, queues: QueueServiceAsyncStub, worker: Worker
) -> None:
    job_id, payload = new_job_id(), '{"email":"ada@example.org","code":"731846","first_name":"Ada"}'
    await queues.Enqueue(EnqueueRequest(task="email.verification_code", payload_json=payload, job_id=job_id))

    seen = [
        str(await told(admin, job_id, explain=True)),
        str(await admin.ListJobs(pb.ListJobsRequest(queue=QUEUE, state=job_pb2.JOB_STATE_WAITING))),
    ]
    worker.engine.run(failed(worker.take_one()))
    seen.append(str(await told(admin, job_id)))

    assert all(job_id in text and "731846" not in text for text in seen)


async def test_a_job_whose_record_was_written_over_is_listed_told_and_removed(
    admin: AdminServiceAsyncStub, worker: Worker, raw: redis.Redis
) -> None:
    """One broken job must not hide the others of its page."""
    place(worker, JobState.FAILED, ["a", "b"])
    raw.hset(f"cabrank:{{{QUEUE}}}:jobs", "a", "nonsense")

    page = await admin.ListJobs(pb.ListJobsRequest(queue=QUEUE, state=job_pb2.JOB_STATE_FAILED))
    job = (await told(admin, "a")).job
    await admin.RemoveJob(pb.RemoveJobRequest(queue=QUEUE, job_id="a"))

    assert {each.id for each in page.jobs} == {"a", "b"}
    assert (job.state, job.payload_json) == (job_pb2.JOB_STATE_FAILED, "")
    assert (await admin.GetQueue(EMAIL)).queue.failed == 1
