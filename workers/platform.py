"""Asks the calling backend for its records, and says what its refusals mean for the job."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

import grpc
from cabrank.platform.v1.platform_pb2 import (
    Course,
    GetCourseRequest,
    GetPaymentRequest,
    GetUserRequest,
    Payment,
    User,
)

from server.catalog import PermanentFailure, Snooze

if TYPE_CHECKING:  # the asyncio flavour of a stub is a type, and no class
    from cabrank.platform.v1.platform_pb2_grpc import PlatformServiceAsyncStub

_ANSWER_SECONDS = 10.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

T = TypeVar("T")


class Platform:
    """A question may end in PermanentFailure (there is no such record), Snooze (nobody answers) or grpc.RpcError."""

    def __init__(self, stub: PlatformServiceAsyncStub) -> None:
        self._stub = stub

    async def user(self, user_id: str) -> User:
        answer = await _asked(self._stub.GetUser(GetUserRequest(user_id=user_id), timeout=_ANSWER_SECONDS))
        return answer.user

    async def course(self, course_id: str) -> Course:
        answer = await _asked(self._stub.GetCourse(GetCourseRequest(course_id=course_id), timeout=_ANSWER_SECONDS))
        return answer.course

    async def payment(self, payment_id: str) -> Payment:
        answer = await _asked(self._stub.GetPayment(GetPaymentRequest(payment_id=payment_id), timeout=_ANSWER_SECONDS))
        return answer.payment


async def _asked(question: Awaitable[T]) -> T:
    try:
        return await question
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise PermanentFailure(f"the platform says: {error.details()}") from None
        if error.code() in _AWAY:
            raise Snooze(reason=f"the platform cannot be reached: {error.details()}") from None
        raise
