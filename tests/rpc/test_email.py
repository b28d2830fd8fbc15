"""EmailService: each rpc is one task with a typed face."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cabrank.v1 import email_pb2, job_pb2
from cabrank.v1.queue_pb2 import GetJobRequest

from tests.engine.hands import Worker
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.email_pb2_grpc import EmailServiceAsyncStub
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

CODE = email_pb2.SendVerificationCodeRequest(email="ada@example.org", code="123456", first_name="Ada")
RPCS = {
    "SendVerificationCode": ("email.verification_code", CODE, {"code"}),
    "SendPasswordReset": (
        "email.password_reset",
        email_pb2.SendPasswordResetRequest(email="ada@example.org", reset_token="t0k3n", first_name="Ada"),  # noqa: S106 -- none
        {"reset_token"},
    ),
    "SendWelcomeEmail": ("email.welcome", email_pb2.SendWelcomeEmailRequest(user_id="u1", course_id="c1"), set()),
    "SendPaymentReceipt": (
        "email.payment_receipt",
        email_pb2.SendPaymentReceiptRequest(user_id="u1", payment_id="p1", course_id="c1"),
        set(),
    ),
}


@pytest.mark.parametrize("name", RPCS)
async def test_its_fields_are_the_payload_of_its_task(emails: EmailServiceAsyncStub, worker: Worker, name: str) -> None:
    """The worker gets all of it; the answer masks what is secret."""
    task, request, secret = RPCS[name]
    fields = {field.name: value for field, value in request.ListFields()}

    answer = await getattr(emails, name)(request)

    leased = worker.take_one()
    assert (answer.created, answer.job.task, leased.request.task) == (True, task, task)
    assert json.loads(leased.payload) == fields
    assert json.loads(answer.job.payload_json) == fields | dict.fromkeys(secret, "***")


async def test_every_rpc_of_the_contract_is_covered_here() -> None:
    contract = email_pb2.DESCRIPTOR.services_by_name["EmailService"]

    assert {rpc.name for rpc in contract.methods} == RPCS.keys()


async def test_a_repetition_with_the_same_key_is_the_same_mail(
    emails: EmailServiceAsyncStub, queues: QueueServiceAsyncStub
) -> None:
    request: Any = email_pb2.SendVerificationCodeRequest(idempotency_key="once")
    request.MergeFrom(CODE)

    first = await emails.SendVerificationCode(request)
    again = await emails.SendVerificationCode(request)
    request.code = "654321"
    other = await refused(emails.SendVerificationCode(request))

    assert (first.created, again.created, first.job) == (True, False, again.job)
    assert (other.reason, other.fields) == ("IDEMPOTENCY_KEY_REUSED", ("idempotency_key",))
    told = await queues.GetJob(GetJobRequest(queue="email", job_id=first.job.id))
    assert told.job.state == job_pb2.JOB_STATE_WAITING
