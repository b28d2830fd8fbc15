"""The port: what gRPC itself refuses, and what grpcurl sees."""

from __future__ import annotations

import asyncio
import json
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cabrank.v1.queue_pb2 import EnqueueRequest
from grpc import StatusCode

from server.engine.async_engine import AsyncEngine
from server.settings import Address
from tests.rpc.conftest import Door, opened
from tests.rpc.refusals import refused

if TYPE_CHECKING:
    from cabrank.v1.queue_pb2_grpc import QueueServiceAsyncStub

GRPCURL = Path(sys.executable).parent / "grpcurl"
needs_grpcurl = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="there is a grpcurl wheel for Linux x86_64 alone"
)


async def grpcurl(*arguments: str) -> tuple[int, str]:
    """Its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        GRPCURL, "-plaintext", *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, said.decode()


async def test_a_message_over_the_limit_is_refused_by_grpc(queues: QueueServiceAsyncStub) -> None:
    """Without a reason of ours: a client must not repeat a RESOURCE_EXHAUSTED that has no RetryInfo."""
    refusal = await refused(queues.Enqueue(EnqueueRequest(payload_json="x" * 6 * 1024**2)))

    assert (refusal.code, refusal.reason) == (StatusCode.RESOURCE_EXHAUSTED, "")
    assert refusal.again_in is None


async def test_metadata_over_the_limit_is_refused_by_grpc(queues: QueueServiceAsyncStub) -> None:
    metadata = (("x-large", "y" * 17 * 1024),)

    assert (await refused(queues.Enqueue(EnqueueRequest(), metadata=metadata))).code == StatusCode.RESOURCE_EXHAUSTED
    assert (await refused(queues.Enqueue(EnqueueRequest()))).reason == "INVALID_FIELD"


async def test_a_second_server_cannot_share_the_port(door: Door, redis_engine: AsyncEngine) -> None:
    """gRPC's default would let it, and half of the calls would go there."""
    host, _, port = door.address.rpartition(":")
    async with opened(redis_engine) as second:
        with pytest.raises(RuntimeError):
            second.server.listen(Address(host=host, port=int(port)))


async def test_a_connection_that_says_nothing_is_closed(door: Door) -> None:
    host, _, port = door.address.rpartition(":")
    silent = await asyncio.to_thread(socket.create_connection, (host, int(port)))
    silent.settimeout(20)

    def until_closed() -> bytes:
        received = b""
        try:
            while more := silent.recv(4096):
                received += more
        except ConnectionResetError:
            pass
        return received

    await asyncio.to_thread(until_closed)  # TimeoutError: it was not
    silent.close()


@needs_grpcurl
async def test_grpcurl_works_without_the_proto_files(door: Door) -> None:
    code, services = await grpcurl(door.address, "list")
    sent = '{"email":"ada@example.org","code":"123456","first_name":"Ada"}'
    _, answer = await grpcurl("-d", sent, door.address, "cabrank.v1.EmailService/SendVerificationCode")
    job: Any = json.loads(answer)["job"]

    assert code == 0
    assert {"cabrank.v1.QueueService", "cabrank.v1.EmailService", "grpc.health.v1.Health"} <= set(services.split())
    assert (job["queue"], job["task"], job["state"]) == ("email", "email.verification_code", "JOB_STATE_WAITING")


@needs_grpcurl
@pytest.mark.parametrize(
    ("request_json", "field"),
    [
        (
            '{"task":"email.welcome","delay":"5s","run_at":"2040-01-01T00:00:00Z","payload":{"user_id":"u","course_id":"c"}}',
            "delay",
        ),
        ('{"task":"email.welcome","payload":{"user_id":"u","course_id":"c"},"payload_json":"{}"}', "payload"),
        ('{"task":"email.welcome","payload":{"user_id":7,"course_id":"c"}}', "payload.user_id"),
        ('{"task":"email.welcom"}', "task"),
    ],
)
async def test_grpcurl_shows_the_field_that_is_wrong(door: Door, request_json: str, field: str) -> None:
    code, said = await grpcurl("-d", request_json, door.address, "cabrank.v1.QueueService/Enqueue")

    assert code in (64 + StatusCode.INVALID_ARGUMENT.value[0], 64 + StatusCode.NOT_FOUND.value[0])
    assert f'"field":"{field}"' in said
