"""EmailService: each rpc is the typed face of one task. A request's fields are the fields of the task's payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cabrank.v1 import email_pb2 as pb
from cabrank.v1.email_pb2_grpc import EmailServiceServicer

from server.catalog import Task
from server.catalog.email import PASSWORD_RESET, PAYMENT_RECEIPT, VERIFICATION_CODE, WELCOME
from server.rpc.admission import Admission
from server.rpc.intake import Intake, TypedRequest
from server.rpc.reception import Context

Response = TypeVar("Response")


class EmailServicer(EmailServiceServicer):
    def __init__(self, *, intake: Intake, admission: Admission) -> None:
        self._intake = intake
        self._admission = admission

    async def SendVerificationCode(
        self, request: pb.SendVerificationCodeRequest, _context: Context
    ) -> pb.SendVerificationCodeResponse:
        return await self._send(VERIFICATION_CODE, request, pb.SendVerificationCodeResponse)

    async def SendPasswordReset(
        self, request: pb.SendPasswordResetRequest, _context: Context
    ) -> pb.SendPasswordResetResponse:
        return await self._send(PASSWORD_RESET, request, pb.SendPasswordResetResponse)

    async def SendWelcomeEmail(
        self, request: pb.SendWelcomeEmailRequest, _context: Context
    ) -> pb.SendWelcomeEmailResponse:
        return await self._send(WELCOME, request, pb.SendWelcomeEmailResponse)

    async def SendPaymentReceipt(
        self, request: pb.SendPaymentReceiptRequest, _context: Context
    ) -> pb.SendPaymentReceiptResponse:
        return await self._send(PAYMENT_RECEIPT, request, pb.SendPaymentReceiptResponse)

    async def _send(self, task: Task[Any], request: TypedRequest, response: Callable[..., Response]) -> Response:
        admitted = await self._admission.one(self._intake.typed(task, request))
        return response(job=admitted.job, created=admitted.created)
