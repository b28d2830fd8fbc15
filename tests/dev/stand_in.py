"""A stack whose service is a stand-in, so that starting, watching and stopping can be seen without the service.

python -m tests.dev.stand_in stack     the real stack with `service` in place of server and workers
python -m tests.dev.stand_in service   healthy at GRPC_ADDRESS and HTTP_ADDRESS, and knows no EmailService
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

import grpc
from grpc_health.v1 import health, health_pb2_grpc  # type: ignore[import-untyped]  # it has no stubs

from server.dev.__main__ import main
from server.dev.plan import Plan
from server.dev.processes import Program
from server.settings import Address


class StandIn(Plan):
    """CABRANK_TEST_SERVER and CABRANK_TEST_WORKERS may be shell scripts, which then run in their place."""

    def service(self, *, redis_url: str | None) -> Iterator[Program]:
        stand_in = f"exec {sys.executable} -m tests.dev.stand_in service"
        for program, usual in zip(super().service(redis_url=redis_url), (stand_in, "exec sleep 60"), strict=True):
            script = os.environ.get(f"CABRANK_TEST_{program.name.upper()}", usual)
            yield replace(program, argv=["sh", "-c", script])


async def _serve() -> None:
    """Healthy on both ports for ever."""
    grpc_server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), grpc_server)
    grpc_server.add_insecure_port(os.environ["GRPC_ADDRESS"])
    await grpc_server.start()
    address = Address.parse(os.environ["HTTP_ADDRESS"])
    http_server = await asyncio.start_server(_answer, address.host, address.port)
    await http_server.serve_forever()


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    writer.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["stack"]:
        sys.exit(main(StandIn))
    else:
        asyncio.run(_serve())
