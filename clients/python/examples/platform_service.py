"""A backend's side of cabrank: PlatformService over the records of a JSON file.

    python clients/python/examples/platform_service.py --address 127.0.0.1:50061

It stands on `cabrank.platform.v1` alone. In a backend of yours the three lookups ask your database.
"""

import json
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
from cabrank.platform.v1 import platform_pb2 as pb
from cabrank.platform.v1 import platform_pb2_grpc as pb_grpc
from google.protobuf.json_format import ParseDict

_RECORDS = Path(__file__).with_name("records.json")
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}

Record = TypeVar("Record")


@dataclass(frozen=True)
class Records:
    """What the backend knows, by id."""

    users: Mapping[str, pb.User]
    courses: Mapping[str, pb.Course]
    payments: Mapping[str, pb.Payment]

    @classmethod
    def read(cls, file: Path) -> "Records":
        """Reads messages in their JSON form. A field that the contract does not have is refused."""
        known = json.loads(file.read_text(encoding="utf-8"))
        return cls(
            users={user["id"]: ParseDict(user, pb.User()) for user in known["users"]},
            courses={course["id"]: ParseDict(course, pb.Course()) for course in known["courses"]},
            payments={payment["id"]: ParseDict(payment, pb.Payment()) for payment in known["payments"]},
        )


class Platform(pb_grpc.PlatformServiceServicer):
    """Answers the workers. An unknown id is NOT_FOUND, so that its job fails and is not tried again."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def GetUser(self, request: pb.GetUserRequest, context: grpc.ServicerContext) -> pb.GetUserResponse:
        user = _find(self._records.users, "user", request.user_id, context)
        return pb.GetUserResponse(user=user)

    def GetCourse(self, request: pb.GetCourseRequest, context: grpc.ServicerContext) -> pb.GetCourseResponse:
        course = _find(self._records.courses, "course", request.course_id, context)
        return pb.GetCourseResponse(course=course)

    def GetPayment(self, request: pb.GetPaymentRequest, context: grpc.ServicerContext) -> pb.GetPaymentResponse:
        payment = _find(self._records.payments, "payment", request.payment_id, context)
        return pb.GetPaymentResponse(payment=payment)


def _find(records: Mapping[str, Record], kind: str, record_id: str, context: grpc.ServicerContext) -> Record:
    record = records.get(record_id)
    if record is None:
        context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {kind} {record_id!r}")
    return record


def serve(address: str) -> None:
    """Serves until SIGINT or SIGTERM; what is being answered then has half a second to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # before the server's threads, which inherit it
    # Without so_reuseport=0 a second server on the port would start too, and take half of the calls.
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_PlatformServiceServicer_to_server(Platform(Records.read(_RECORDS)), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        sys.exit(f"cannot listen on {address}: the port is taken or the address is not of this machine")
    server.start()
    print(f"platform service: {address.rpartition(':')[0]}:{port}", flush=True)
    signal.sigwait(_STOP_SIGNALS)
    server.stop(grace=0.5).wait()


if __name__ == "__main__":
    arguments = ArgumentParser(description="The example backend that cabrank's workers ask.")
    arguments.add_argument("--address", default="127.0.0.1:50061", help="host:port to serve on (%(default)s)")
    serve(arguments.parse_args().address)
