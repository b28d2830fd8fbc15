"""grpc.health.v1 follows readiness, and ends with the service."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # it has no stubs
from structlog.testing import capture_logs

from tests.rpc.conftest import Door
from tests.rpc.refusals import refused

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("", "cabrank.v1.QueueService", "cabrank.v1.EmailService")


@pytest.fixture
def health(channel: grpc.aio.Channel) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(channel)


def of(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def test_every_service_is_serving(health: health_pb2_grpc.HealthStub) -> None:
    for service in SERVICES:
        assert (await health.Check(of(service))).status == SERVING


async def test_an_unknown_service_is_not_found(health: health_pb2_grpc.HealthStub) -> None:
    assert (await refused(health.Check(of("nobody")))).code == grpc.StatusCode.NOT_FOUND
    watch = health.Watch(of("nobody"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_it_follows_readiness_within_five_seconds(door: Door, health: health_pb2_grpc.HealthStub) -> None:
    """And the log has each change once, with the reason."""
    watch = health.Watch(of(SERVICES[1]))
    assert (await watch.read()).status == SERVING

    with capture_logs() as logged:
        door.why_not.append("the queue's storage cannot be reached")
        async with asyncio.timeout(5):
            assert (await watch.read()).status == NOT_SERVING
        door.why_not.clear()
        async with asyncio.timeout(5):
            assert (await watch.read()).status == SERVING
    watch.cancel()

    changes = [(line["event"], line.get("why")) for line in logged if line["event"] != "rpc"]
    assert changes == [("not ready", "the queue's storage cannot be reached"), ("ready", None)]


async def test_a_stop_tells_those_who_watch_and_does_not_wait_for_them(
    door: Door, health: health_pb2_grpc.HealthStub
) -> None:
    watch = health.Watch(of(""))
    assert (await watch.read()).status == SERVING

    began = time.monotonic()
    await door.server.stop(timedelta(seconds=30))

    assert time.monotonic() - began < 10
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
