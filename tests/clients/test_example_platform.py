"""The example backend, as a process of its own and asked over gRPC."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cabrank.platform.v1 import platform_pb2 as pb
from cabrank.platform.v1.platform_pb2_grpc import PlatformServiceStub

_EXAMPLE = Path(__file__).parents[2] / "clients" / "python" / "examples" / "platform_service.py"
_PAYMENTS = ["payment-1", "payment-2", "payment-3"]

Process = subprocess.Popen[str]


@contextmanager
def _started(address: str) -> Iterator[Process]:
    command = [sys.executable, str(_EXAMPLE), "--address", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _address(process: Process) -> str:
    """Where it serves, from the line that it prints when it does."""
    assert process.stdout is not None
    return process.stdout.readline().removeprefix("platform service: ").strip()


@pytest.fixture
def process() -> Iterator[Process]:
    with _started("127.0.0.1:0") as process:
        yield process


@pytest.fixture
def address(process: Process) -> str:
    return _address(process)


@pytest.fixture
def platform(address: str) -> Iterator[PlatformServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield PlatformServiceStub(channel)


def test_it_knows_a_user_a_course_and_a_payment(platform: PlatformServiceStub) -> None:
    """Those that the documentation uses."""
    user = platform.GetUser(pb.GetUserRequest(user_id="user-ada"), timeout=10).user
    course = platform.GetCourse(pb.GetCourseRequest(course_id="course-algebra"), timeout=10).course
    payment = platform.GetPayment(pb.GetPaymentRequest(payment_id="payment-1"), timeout=10).payment

    assert (user.first_name, user.last_name, user.email) == ("Ada", "Lovelace", "ada@example.org")
    assert course.url.startswith("https://")
    assert (payment.amount.decimal, payment.amount.currency) == ("49.90", "EUR")
    assert payment.HasField("paid_at")


@pytest.mark.parametrize("payment_id", _PAYMENTS)
def test_who_paid_and_what_for_is_known_as_well(platform: PlatformServiceStub, payment_id: str) -> None:
    payment = platform.GetPayment(pb.GetPaymentRequest(payment_id=payment_id), timeout=10).payment

    user = platform.GetUser(pb.GetUserRequest(user_id=payment.user_id), timeout=10).user
    course = platform.GetCourse(pb.GetCourseRequest(course_id=payment.course_id), timeout=10).course

    assert (user.id, course.id) == (payment.user_id, payment.course_id)


def test_an_unknown_id_is_not_found_and_says_what_is_missing(platform: PlatformServiceStub) -> None:
    refusals = []
    for ask in (
        lambda: platform.GetUser(pb.GetUserRequest(user_id="nobody"), timeout=10),
        lambda: platform.GetCourse(pb.GetCourseRequest(course_id="nothing"), timeout=10),
        lambda: platform.GetPayment(pb.GetPaymentRequest(), timeout=10),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            ask()
        refusals.append((refused.value.code(), refused.value.details()))

    assert refusals == [
        (grpc.StatusCode.NOT_FOUND, "there is no user 'nobody'"),
        (grpc.StatusCode.NOT_FOUND, "there is no course 'nothing'"),
        (grpc.StatusCode.NOT_FOUND, "there is no payment ''"),
    ]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to_while_callers_are_connected(
    process: Process, platform: PlatformServiceStub, stop: signal.Signals
) -> None:
    platform.GetUser(pb.GetUserRequest(user_id="user-ada"), timeout=10)

    process.send_signal(stop)

    assert process.wait(timeout=5) == 0  # it takes well under a second; five are for a busy machine


def test_a_port_that_is_taken_is_a_clear_sentence(address: str) -> None:
    """And no second server that takes half of the calls, as gRPC would have it."""
    with _started(address) as second:
        _, complaint = second.communicate(timeout=30)

    assert second.returncode == 1
    assert complaint.splitlines()[-1].startswith(f"cannot listen on {address}: the port is taken")
