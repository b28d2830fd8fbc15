"""AdminService: what is refused names its reason and its field, and changes nothing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cabrank.v1 import admin_pb2 as pb
from cabrank.v1 import job_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from server.dev.valkey import EmbeddedServer
from server.engine.job import JobState, Unique
from tests.admin.hands import numbered, place
from tests.engine.hands import QUEUE, Worker, contents, new_job, put
from tests.rpc.conftest import frozen
from tests.rpc.refusals import Refusal, refused

if TYPE_CHECKING:
    from cabrank.v1.admin_pb2_grpc import AdminServiceAsyncStub

FAILED = job_pb2.JOB_STATE_FAILED
# A sound request for every rpc.
SOUND: dict[str, Message] = {
    "GetHealth": pb.GetHealthRequest(),
    "ListQueues": pb.ListQueuesRequest(),
    "GetQueue": pb.GetQueueRequest(queue=QUEUE),
    "ListJobs": pb.ListJobsRequest(queue=QUEUE, state=FAILED),
    "GetJob": pb.AdminServiceGetJobRequest(queue=QUEUE, job_id="a"),
    "RetryJob": pb.RetryJobRequest(queue=QUEUE, job_id="a"),
    "RetryFailedJobs": pb.RetryFailedJobsRequest(queue=QUEUE),
    "RemoveJob": pb.RemoveJobRequest(queue=QUEUE, job_id="a"),
    "PromoteJob": pb.PromoteJobRequest(queue=QUEUE, job_id="a"),
    "PauseQueue": pb.PauseQueueRequest(queue=QUEUE),
    "ResumeQueue": pb.ResumeQueueRequest(queue=QUEUE),
    "CleanQueue": pb.CleanQueueRequest(queue=QUEUE),
    "PurgeQueue": pb.PurgeQueueRequest(queue=QUEUE),
    "UpdateQueue": pb.UpdateQueueRequest(queue=QUEUE, concurrency=1),
    "ListWorkers": pb.ListWorkersRequest(queue=QUEUE),
}
ABOUT_A_QUEUE = [name for name, request in SOUND.items() if "queue" in request.DESCRIPTOR.fields_by_name]
ABOUT_A_JOB = [name for name, request in SOUND.items() if "job_id" in request.DESCRIPTOR.fields_by_name]


def changed(name: str, **fields: Any) -> Any:
    request: Any = type(SOUND[name])()
    request.CopyFrom(SOUND[name])
    for field, value in fields.items():
        setattr(request, field, value)
    return request


async def refusal_of(admin: AdminServiceAsyncStub, name: str, request: Any) -> Refusal:
    return await refused(getattr(admin, name)(request))


def seconds(number: int, nanos: int = 0) -> Duration:
    return Duration(seconds=number, nanos=nanos)


def test_every_rpc_is_tried_here() -> None:
    assert set(SOUND) == set(pb.DESCRIPTOR.services_by_name["AdminService"].methods_by_name)


@pytest.mark.parametrize("name", ABOUT_A_QUEUE)
async def test_a_queue_that_is_not_there_is_told_with_the_nearest(admin: AdminServiceAsyncStub, name: str) -> None:
    refusal = await refusal_of(admin, name, changed(name, queue="emial"))

    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")
    assert (refusal.fields, refusal.resource) == (("queue",), "emial")
    assert "email" in refusal.message


@pytest.mark.parametrize("name", [each for each in ABOUT_A_QUEUE if each != "ListWorkers"])
async def test_a_request_that_names_no_queue_is_refused(admin: AdminServiceAsyncStub, name: str) -> None:
    refusal = await refusal_of(admin, name, changed(name, queue=""))

    assert (refusal.code, refusal.reason, refusal.fields) == (
        StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        ("queue",),
    )


@pytest.mark.parametrize("name", ABOUT_A_JOB)
async def test_a_job_that_is_not_there_is_told(admin: AdminServiceAsyncStub, name: str) -> None:
    refusal = await refusal_of(admin, name, SOUND[name])

    assert (refusal.code, refusal.reason, refusal.resource) == (StatusCode.NOT_FOUND, "JOB_NOT_FOUND", "a")


@pytest.mark.parametrize("name", ABOUT_A_JOB)
@pytest.mark.parametrize("job_id", ["", "a b", "x" * 101])
async def test_a_name_that_no_job_can_have_is_refused(admin: AdminServiceAsyncStub, name: str, job_id: str) -> None:
    refusal = await refusal_of(admin, name, changed(name, job_id=job_id))

    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ("job_id",))


WRONG_STATES: dict[str, list[JobState]] = {
    "RetryJob": [state for state in JobState if state is not JobState.FAILED],
    "RemoveJob": [JobState.ACTIVE],
    "PromoteJob": [JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED],
}


@pytest.mark.parametrize(
    ("name", "state"), [(name, state) for name, states in WRONG_STATES.items() for state in states]
)
async def test_a_job_in_another_state_is_refused_with_the_one_it_is_in(
    admin: AdminServiceAsyncStub, worker: Worker, name: str, state: JobState
) -> None:
    place(worker, state, ["a"])

    refusal = await refusal_of(admin, name, SOUND[name])

    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "JOB_STATE")
    assert refusal.metadata == {"state": state}


async def test_a_job_whose_secrets_are_erased_is_not_retried(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    place(worker, JobState.FAILED, [new_job("a", payload=b'{"code":"1"}', masked=b'{"code":"***"}')])

    refusal = await refusal_of(admin, "RetryJob", SOUND["RetryJob"])

    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "SECRETS_ERASED")


async def test_a_job_whose_unique_key_another_holds_is_not_retried(
    admin: AdminServiceAsyncStub, worker: Worker
) -> None:
    place(worker, JobState.FAILED, [new_job("a", unique=Unique(key="mine"))])
    put(worker.engine, new_job("b", unique=Unique(key="mine")))

    refusal = await refusal_of(admin, "RetryJob", SOUND["RetryJob"])

    assert (refusal.code, refusal.reason, refusal.resource) == (StatusCode.ALREADY_EXISTS, "UNIQUE_CONFLICT", "b")


async def test_nothing_is_retried_while_memory_is_full(
    admin: AdminServiceAsyncStub, worker: Worker, raw: redis.Redis
) -> None:
    place(worker, JobState.FAILED, ["a"])
    raw.config_set("maxmemory", 1)
    try:
        refusals = [await refusal_of(admin, name, SOUND[name]) for name in ("RetryJob", "RetryFailedJobs")]
    finally:
        raw.config_set("maxmemory", 0)

    assert {(each.code, each.reason) for each in refusals} == {(StatusCode.RESOURCE_EXHAUSTED, "MEMORY_FULL")}


def listing(**fields: Any) -> pb.ListJobsRequest:
    terms: dict[str, Any] = {"queue": QUEUE, "state": FAILED}
    return pb.ListJobsRequest(**(terms | fields))


FIELDS: dict[str, tuple[str, Message, tuple[str, ...]]] = {
    "no state": ("ListJobs", pb.ListJobsRequest(queue=QUEUE), ("state",)),
    "no such state": ("ListJobs", listing(state=99), ("state",)),
    "no such order": ("ListJobs", listing(order=99), ("order",)),
    "list: task": ("ListJobs", listing(task="email welcome"), ("task",)),
    "page_size": ("ListJobs", listing(page_size=-1), ("page_size",)),
    "page_token": ("ListJobs", listing(page_token=str(FAILED)), ("page_token",)),
    "all of a list": (
        "ListJobs",
        pb.ListJobsRequest(page_size=-1, order=99),  # type: ignore[arg-type]
        ("queue", "state", "page_size", "order"),
    ),
    "retry: task": ("RetryFailedJobs", pb.RetryFailedJobsRequest(queue=QUEUE, task="{x}"), ("task",)),
    "retry: limit": ("RetryFailedJobs", pb.RetryFailedJobsRequest(queue=QUEUE, limit=-1), ("limit",)),
    "retry: older_than": (
        "RetryFailedJobs",
        pb.RetryFailedJobsRequest(queue=QUEUE, older_than=seconds(-1)),
        ("older_than",),
    ),
    "clean: limit": ("CleanQueue", pb.CleanQueueRequest(queue=QUEUE, limit=-1), ("limit",)),
    "clean: older_than": ("CleanQueue", pb.CleanQueueRequest(queue=QUEUE, older_than=seconds(2**60)), ("older_than",)),
    "clean: what lives": (
        "CleanQueue",
        pb.CleanQueueRequest(queue=QUEUE, state=job_pb2.JOB_STATE_WAITING),
        ("state",),
    ),
    "clean: no such state": ("CleanQueue", pb.CleanQueueRequest(queue=QUEUE, state=99), ("state",)),  # type: ignore[arg-type]
    "purge: limit": ("PurgeQueue", pb.PurgeQueueRequest(queue=QUEUE, limit=-1), ("limit",)),
    "purge: what has ended": ("PurgeQueue", pb.PurgeQueueRequest(queue=QUEUE, state=FAILED), ("state",)),
    "purge: what runs": ("PurgeQueue", pb.PurgeQueueRequest(queue=QUEUE, state=job_pb2.JOB_STATE_ACTIVE), ("state",)),
    "pause: reason": ("PauseQueue", pb.PauseQueueRequest(queue=QUEUE, reason="x" * 201), ("reason",)),
    "pause: past": (
        "PauseQueue",
        pb.PauseQueueRequest(queue=QUEUE, resume_time=Timestamp(seconds=1)),
        ("resume_time",),
    ),
    "pause: never": (
        "PauseQueue",
        pb.PauseQueueRequest(queue=QUEUE, resume_time=Timestamp(seconds=2**60)),
        ("resume_time",),
    ),
}


@pytest.mark.parametrize(("name", "request_", "fields"), FIELDS.values(), ids=FIELDS)
async def test_a_wrong_field_is_named(
    admin: AdminServiceAsyncStub, worker: Worker, raw: redis.Redis, name: str, request_: Any, fields: tuple[str, ...]
) -> None:
    for state in JobState:
        place(worker, state, numbered(2, name=state))
    before = contents(raw)

    refusal = await refusal_of(admin, name, request_)

    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal.fields == fields
    assert contents(raw) == before


def update(**fields: Any) -> pb.UpdateQueueRequest:
    return pb.UpdateQueueRequest(queue=QUEUE, **fields)


UPDATES: dict[str, tuple[pb.UpdateQueueRequest, tuple[str, ...]]] = {
    "nothing": (update(), ("queue",)),
    "nothing in what is given": (update(health={}, completed_retention={}), ("queue",)),
    "no concurrency": (update(concurrency=0), ("concurrency",)),
    "negative concurrency": (update(concurrency=-1), ("concurrency",)),
    "absurd concurrency": (update(concurrency=100_001), ("concurrency",)),
    "negative rate": (update(rate_limit={"count": -1}), ("rate_limit.count",)),
    "absurd rate": (update(rate_limit={"count": 1_000_001}), ("rate_limit.count",)),
    "no period": (update(rate_limit={"count": 1, "period": seconds(0)}), ("rate_limit.period",)),
    "negative period": (update(rate_limit={"count": 1, "period": seconds(-1)}), ("rate_limit.period",)),
    "long period": (update(rate_limit={"count": 1, "period": seconds(86_400, 1)}), ("rate_limit.period",)),
    "wrong period without a limit": (update(rate_limit={"period": seconds(-1)}), ("rate_limit.period",)),
    "both of a rate": (
        update(rate_limit={"count": -1, "period": seconds(2**60)}),
        ("rate_limit.period", "rate_limit.count"),
    ),
    "short age": (update(completed_retention={"age": seconds(0, 999_000_000)}), ("completed_retention.age",)),
    "negative age": (update(failed_retention={"age": seconds(-1)}), ("failed_retention.age",)),
    "absurd age": (update(failed_retention={"age": seconds(3650 * 86_400 + 1)}), ("failed_retention.age",)),
    "age beyond reason": (update(completed_retention={"age": seconds(2**60)}), ("completed_retention.age",)),
    "negative number kept": (update(completed_retention={"count": -1}), ("completed_retention.count",)),
    "absurd number kept": (update(failed_retention={"count": 10_000_001}), ("failed_retention.count",)),
    "negative threshold": (update(health={"waiting": -1}), ("health.waiting",)),
    "absurd threshold": (update(health={"stalled": 10_000_001}), ("health.stalled",)),
    "no such setting": (update(reset=["concurrency", "colour"]), ("reset[1]",)),
    "given and reset": (update(concurrency=1, reset=["health", "concurrency"]), ("reset[1]",)),
    "partly given and reset": (update(health={"failed": 1}, reset=["health"]), ("reset[0]",)),
    "unlimited and reset": (update(rate_limit={}, reset=["rate_limit"]), ("reset[0]",)),
    "many": (
        update(
            concurrency=-1,
            rate_limit={"count": -1},
            completed_retention={"age": seconds(0), "count": -1},
            health={"failed": -1},
            reset=["colour"],
        ),
        (
            "concurrency",
            "completed_retention.age",
            "completed_retention.count",
            "health.failed",
            "rate_limit.count",
            "reset[0]",
        ),
    ),
}


@pytest.mark.parametrize(("request_", "fields"), UPDATES.values(), ids=UPDATES)
async def test_a_wrong_setting_is_named_and_nothing_is_set(
    admin: AdminServiceAsyncStub, raw: redis.Redis, request_: pb.UpdateQueueRequest, fields: tuple[str, ...]
) -> None:
    before = contents(raw)

    refusal = await refusal_of(admin, "UpdateQueue", request_)

    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal.fields == fields
    assert contents(raw) == before


async def test_the_token_of_another_list_or_queue_is_refused(admin: AdminServiceAsyncStub, worker: Worker) -> None:
    place(worker, JobState.FAILED, ["a", "b"])
    token = (await admin.ListJobs(listing(page_size=1))).next_page_token

    waiting, task = job_pb2.JOB_STATE_WAITING, "email.welcome"
    terms = ({"queue": "sync"}, {"state": waiting}, {"task": task}, {"labels": {"a": "b"}})
    others = [listing(page_token=token, **other) for other in terms]
    refusals = [await refusal_of(admin, "ListJobs", other) for other in others]

    assert [(each.reason, each.fields) for each in refusals] == [("INVALID_FIELD", ("page_token",))] * len(others)


async def test_while_redis_is_away_every_rpc_says_so_at_once(
    admin: AdminServiceAsyncStub, valkey: EmbeddedServer
) -> None:
    await admin.GetHealth(pb.GetHealthRequest())
    with frozen(valkey):
        began = time.monotonic()
        refusals = await asyncio.gather(*(refusal_of(admin, name, request) for name, request in SOUND.items()))
        took = time.monotonic() - began

    assert {(each.code, each.reason) for each in refusals} == {(StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")}
    assert all(each.again_in for each in refusals)
    assert took < 5
    assert (await admin.GetHealth(pb.GetHealthRequest())).stats
