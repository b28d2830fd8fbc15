"""What the calling backend's answers mean for a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from cabrank.platform.v1 import platform_pb2 as pb
from cabrank.platform.v1 import platform_pb2_grpc as pb_grpc

from server.catalog import PermanentFailure, Snooze
from workers.platform import Platform


class Backend(pb_grpc.PlatformServiceServicer):
    """Answers everything with one code, or not at all."""

    def __init__(self, code: grpc.StatusCode | None) -> None:
        self._code = code

    async def GetUser(self, _request: pb.GetUserRequest, context: Any) -> pb.GetUserResponse:  # noqa: N802
        if self._code is None:
            await asyncio.Event().wait()
        if self._code is not grpc.StatusCode.OK:
            await context.abort(self._code, "so it is")
        return pb.GetUserResponse(user=pb.User(id="1", email="ada@example.org"))

    async def GetCourse(self, request: pb.GetCourseRequest, context: Any) -> pb.GetCourseResponse:  # noqa: N802
        raise NotImplementedError

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Any) -> pb.GetPaymentResponse:  # noqa: N802
        raise NotImplementedError


@asynccontextmanager
async def asked(code: grpc.StatusCode | None) -> AsyncIterator[Platform]:
    server = grpc.aio.server()
    pb_grpc.add_PlatformServiceServicer_to_server(Backend(code), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Platform(pb_grpc.PlatformServiceStub(channel))
    await server.stop(grace=None)


async def test_a_record_is_returned() -> None:
    async with asked(grpc.StatusCode.OK) as platform:
        assert (await platform.user("1")).email == "ada@example.org"


async def test_what_does_not_exist_is_a_permanent_failure() -> None:
    async with asked(grpc.StatusCode.NOT_FOUND) as platform:
        with pytest.raises(PermanentFailure, match=r"^the platform says: so it is$"):
            await platform.user("1")


async def test_a_platform_that_is_away_is_waited_for() -> None:
    async with asked(grpc.StatusCode.UNAVAILABLE) as platform:
        with pytest.raises(Snooze, match=r"^the platform cannot be reached: so it is$"):
            await platform.user("1")


async def test_a_platform_that_says_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.platform._ANSWER_SECONDS", 0.1)
    async with asked(None) as platform:
        with pytest.raises(Snooze, match="cannot be reached"):
            await platform.user("1")


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED])
async def test_anything_else_spends_an_attempt(code: grpc.StatusCode) -> None:
    async with asked(code) as platform:
        with pytest.raises(grpc.aio.AioRpcError):
            await platform.user("1")
