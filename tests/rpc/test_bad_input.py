"""What is wrong is refused by its field, before anything is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cabrank.v1.email_pb2 import SendVerificationCodeRequest, SendWelcomeEmailRequest
from cabrank.v1.job_pb2 import Backoff
from cabrank.v1.queue_pb2 import CancelJobRequest, EnqueueRequest, GetJobRequest, WaitJobRequest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from server.engine.look import stats
from tests.engine.hands import Worker
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.email_pb2_grpc import EmailServiceAsyncStub
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

INVALID, NOT_FOUND = StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND
CODE, WELCOME = "email.verification_code", "email.welcome"
GOOD = {"email": "ada@example.org", "code": "123456", "first_name": "Ada"}


def code(**wrong: Any) -> str:
    """The payload of a verification code, with members changed, or left out where None."""
    return json.dumps({name: value for name, value in (GOOD | wrong).items() if value is not None})


def welcome(**rules: Any) -> EnqueueRequest:
    return EnqueueRequest(task=WELCOME, payload_json='{"user_id":"u1","course_id":"c1"}', **rules)


def struct(**members: Any) -> Struct:
    made = Struct()
    made.update(GOOD | members)
    return made


def seconds(number: int, nanos: int = 0) -> Duration:
    return Duration(seconds=number, nanos=nanos)


PAYLOADS = {
    "missing field": (code(first_name=None), ["payload.first_name"]),
    "wrong type": (code(code=123456), ["payload.code"]),
    "wrong address": (code(email="ada at example.org"), ["payload.email"]),
    "newline in a name": (code(first_name="Ada\nBcc: x@example.org"), ["payload.first_name"]),
    "unknown field": (code(cod="1"), ["payload.cod"]),
    "several at once": (code(email=7, code=None), ["payload.email", "payload.code"]),
    "bad JSON": ('{"email": ', ["payload"]),
    "no object": ("[1]", ["payload"]),
    "nothing at all": ("", ["payload"]),
    "a name twice": (
        '{"email":"a@example.org","email":"b@example.org","code":"1","first_name":"A"}',
        ["payload.email"],
    ),
    "not a number": (code()[:-1] + ', "x": NaN}', ["payload"]),
}

REQUESTS = {
    "no task": (EnqueueRequest(), "task"),
    "queue of another task": (welcome(queue="sync"), "queue"),
    "delay and run_at": (welcome(delay=seconds(1), run_at=Timestamp(seconds=2_000_000_000)), "delay"),
    "zero delay and run_at": (welcome(delay=seconds(0), run_at=Timestamp(seconds=2_000_000_000)), "delay"),
    "both payloads": (EnqueueRequest(task=CODE, payload=struct(), payload_json=code()), "payload"),
    "negative delay": (welcome(delay=seconds(-1)), "delay"),
    "negative nanos": (welcome(delay=seconds(1, nanos=-5)), "delay"),
    "delay of two years": (welcome(delay=seconds(2 * 366 * 86_400)), "delay"),
    "delay beyond reason": (welcome(delay=seconds(2**60)), "delay"),
    "run_at beyond reason": (welcome(run_at=Timestamp(seconds=2**60)), "run_at"),
    "expires_at beyond reason": (welcome(expires_at=Timestamp(seconds=2**60)), "expires_at"),
    "priority": (welcome(priority=101), "priority"),
    "negative attempts": (welcome(max_attempts=-1), "max_attempts"),
    "too many attempts": (welcome(max_attempts=1001), "max_attempts"),
    "no timeout": (welcome(timeout=seconds(0)), "timeout"),
    "long timeout": (welcome(timeout=seconds(86_401)), "timeout"),
    "retention": (welcome(retention=seconds(-1)), "retention"),
    "backoff.initial": (welcome(backoff=Backoff(initial=seconds(-1))), "backoff.initial"),
    "backoff.max": (welcome(backoff=Backoff(initial=seconds(9), max=seconds(8))), "backoff.max"),
    "backoff.multiplier": (welcome(backoff=Backoff(multiplier=float("nan"))), "backoff.multiplier"),
    "backoff.jitter": (welcome(backoff=Backoff(jitter=1.5)), "backoff.jitter"),
    "backoff.kind": (welcome(backoff=Backoff(kind=99)), "backoff.kind"),  # type: ignore[arg-type]
    "unique_for alone": (welcome(unique_for=seconds(9)), "unique_for"),
    "on_conflict alone": (welcome(on_conflict=2), "on_conflict"),
    "unknown on_conflict": (welcome(unique_key="k", on_conflict=99), "on_conflict"),
    "empty unique_for": (welcome(unique_key="k", unique_for=seconds(0)), "unique_for"),
    "long unique_key": (welcome(unique_key="k" * 201), "unique_key"),
    "long idempotency_key": (welcome(idempotency_key="k" * 201), "idempotency_key"),
    "job_id with newline": (welcome(job_id="a\nb"), "job_id"),
    "job_id with braces": (welcome(job_id="{b}"), "job_id"),
    "number beyond 2^53": (EnqueueRequest(task=CODE, payload=struct(code=2.0**53)), "payload.code"),
    "infinite number": (EnqueueRequest(task=CODE, payload=struct(code=float("inf"))), "payload.code"),
    "number deep inside": (EnqueueRequest(task=CODE, payload=struct(x={"y": [0, 1e300]})), "payload.x.y[1]"),
}


@pytest.fixture(autouse=True)
def nothing_is_stored(worker: Worker, raw: Any) -> Any:
    """Whatever a test of this module asks for."""
    yield
    assert raw.dbsize() == 0
    assert sum(worker.engine.run(stats("email")).jobs.values()) == 0


@pytest.mark.parametrize("name", PAYLOADS)
async def test_a_bad_payload_names_its_fields(queues: QueueServiceAsyncStub, name: str) -> None:
    payload, fields = PAYLOADS[name]

    refusal = await refused(queues.Enqueue(EnqueueRequest(task=CODE, payload_json=payload)))

    assert (refusal.code, refusal.reason, refusal.domain) == (INVALID, "INVALID_FIELD", "cabrank")
    assert sorted(refusal.fields) == sorted(fields)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_bad_request_names_its_field(queues: QueueServiceAsyncStub, name: str) -> None:
    request, field = REQUESTS[name]

    refusal = await refused(queues.Enqueue(request))

    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert refusal.fields == (field,)


async def test_all_that_is_wrong_is_told_at_once(queues: QueueServiceAsyncStub) -> None:
    request = EnqueueRequest(
        queue="sync",
        task=CODE,
        payload_json=code(email="nobody", code=None),
        expires_at=Timestamp(seconds=2**60),
        timeout=seconds(-1),
        backoff=Backoff(initial=seconds(-1)),
        unique_for=seconds(1),
        priority=1000,
    )

    refusal = await refused(queues.Enqueue(request))

    assert set(refusal.fields) == {
        *("queue", "payload.email", "payload.code", "expires_at", "timeout"),
        *("backoff.initial", "unique_for", "priority"),
    }


async def test_an_unknown_task_is_not_found_and_the_nearest_are_told(queues: QueueServiceAsyncStub) -> None:
    refusal = await refused(queues.Enqueue(EnqueueRequest(task="email.verifcation_code")))

    assert (refusal.code, refusal.reason) == (NOT_FOUND, "TASK_NOT_FOUND")
    assert (refusal.resource, refusal.fields) == ("email.verifcation_code", ("task",))
    assert CODE in refusal.message


async def test_an_unknown_queue_is_not_found_in_every_rpc(queues: QueueServiceAsyncStub) -> None:
    calls = (
        queues.Enqueue(EnqueueRequest(queue="emial", task=CODE, payload_json=code())),
        queues.GetJob(GetJobRequest(queue="emial", job_id="1")),
        queues.WaitJob(WaitJobRequest(queue="emial", job_id="1")),
        queues.CancelJob(CancelJobRequest(queue="emial", job_id="1")),
    )
    for call in calls:
        refusal = await refused(call)

        assert (refusal.code, refusal.reason) == (NOT_FOUND, "QUEUE_NOT_FOUND")
        assert (refusal.resource, refusal.fields) == ("emial", ("queue",))
        assert "email" in refusal.message


@pytest.mark.parametrize(
    "payload", [{"payload_json": code(first_name="A" * 300 * 1024)}, {"payload": struct(first_name="A" * 300 * 1024)}]
)
async def test_a_payload_of_300_kib_is_too_large(queues: QueueServiceAsyncStub, payload: Any) -> None:
    refusal = await refused(queues.Enqueue(EnqueueRequest(task=CODE, **payload)))

    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "PAYLOAD_TOO_LARGE", ("payload",))
    assert refusal.metadata == {"limit_bytes": str(256 * 1024)}


async def test_a_large_payload_is_not_looked_into(queues: QueueServiceAsyncStub) -> None:
    """Else the size of what is parsed would be the caller's choice."""
    refusal = await refused(queues.Enqueue(EnqueueRequest(task=CODE, payload_json="{" * (256 * 1024 + 1))))

    assert refusal.reason == "PAYLOAD_TOO_LARGE"


async def test_a_typed_request_names_its_own_fields(emails: EmailServiceAsyncStub) -> None:
    """They are the request's, not those of a payload that the caller never sees."""
    calls: list[tuple[Any, set[str]]] = [
        (
            emails.SendVerificationCode(SendVerificationCodeRequest(email="x", code="1", first_name="A\r\nB")),
            {"email", "first_name"},
        ),
        (emails.SendVerificationCode(SendVerificationCodeRequest(email="a@example.org")), {"code", "first_name"}),
        (
            emails.SendVerificationCode(
                SendVerificationCodeRequest(email="a@example.org", code="1", first_name="A" * 300_000)
            ),
            {"first_name"},
        ),
        (
            emails.SendWelcomeEmail(SendWelcomeEmailRequest(user_id="u 1", course_id="c1", idempotency_key="k" * 201)),
            {"user_id", "idempotency_key"},
        ),
    ]
    for call, fields in calls:
        refusal = await refused(call)

        assert (refusal.code, refusal.reason, set(refusal.fields)) == (INVALID, "INVALID_FIELD", fields)


async def test_a_refusal_never_repeats_a_secret(emails: EmailServiceAsyncStub) -> None:
    call = emails.SendVerificationCode(SendVerificationCodeRequest(email="a", code="secret\n", first_name="A"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call

    assert b"secret" not in repr(caught.value).encode() + b"".join(
        value if isinstance(value, bytes) else value.encode() for _, value in caught.value.trailing_metadata()
    )


async def test_a_job_is_named_by_queue_and_id(queues: QueueServiceAsyncStub) -> None:
    for request, field in (
        (GetJobRequest(job_id="1"), "queue"),
        (GetJobRequest(queue="email"), "job_id"),
        (GetJobRequest(queue="email", job_id="a b"), "job_id"),
    ):
        refusal = await refused(queues.GetJob(request))

        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", (field,))


async def test_what_waiting_and_cancelling_ask_for_has_limits(queues: QueueServiceAsyncStub) -> None:
    wait = await refused(queues.WaitJob(WaitJobRequest(queue="email", job_id="1", timeout=seconds(-1))))
    cancel = await refused(queues.CancelJob(CancelJobRequest(queue="email", job_id="1", reason="x" * 201)))

    assert (wait.fields, cancel.fields) == (("timeout",), ("reason",))


async def test_a_refusal_stays_within_what_clients_take(queues: QueueServiceAsyncStub) -> None:
    """Trailers over 8 KiB would turn it into another error, and callers choose most of its words."""
    name = "é" * 400
    worst = [
        ("INVALID_FIELD", EnqueueRequest(task=CODE, payload_json=json.dumps({f"{n}{name}": 1 for n in range(50)}))),
        ("INVALID_FIELD", welcome(labels={name * 100: "x"})),
        ("TASK_NOT_FOUND", EnqueueRequest(task=name * 100)),
    ]
    for reason, request in worst:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await queues.Enqueue(request)

        assert (await refused(queues.Enqueue(request))).reason == reason
        assert sum(len(key) + len(value) * 4 // 3 for key, value in caught.value.trailing_metadata()) < 6000


async def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.aio.Channel) -> None:
    send: Any = channel.unary_unary("/cabrank.v1.QueueService/Enqueue")

    refusal = await refused(send(b"\xff\xff\xff"))

    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
