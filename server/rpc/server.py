"""The gRPC server: all services behind one port, and the order in which they start and stop."""

from __future__ import annotations

from datetime import timedelta

import grpc
from cabrank.v1 import admin_pb2, email_pb2, queue_pb2
from cabrank.v1.admin_pb2_grpc import add_AdminServiceServicer_to_server
from cabrank.v1.email_pb2_grpc import add_EmailServiceServicer_to_server
from cabrank.v1.queue_pb2_grpc import add_QueueServiceServicer_to_server
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # it has no stubs
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server  # type: ignore[import-untyped]  # it has no stubs
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]  # it has no stubs

from server.admin import Admin
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.rpc.admin import AdminServicer
from server.rpc.admission import Admission
from server.rpc.email import EmailServicer
from server.rpc.health import Health, Unready
from server.rpc.intake import Intake
from server.rpc.queue import QueueServicer
from server.rpc.reception import Observe, Reception
from server.rpc.wait import Waits
from server.rpc.watch import Watches
from server.settings import Address

_SERVICES = (
    queue_pb2.DESCRIPTOR.services_by_name["QueueService"].full_name,
    email_pb2.DESCRIPTOR.services_by_name["EmailService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)
_MIB = 1024 * 1024
_OPTIONS = (
    # Just above the 4 MiB of a batch: one that is too large gets BATCH_TOO_LARGE from us. What is larger still is
    # refused by gRPC itself, with RESOURCE_EXHAUSTED and no ErrorInfo, as is metadata over its limit.
    ("grpc.max_receive_message_length", 5 * _MIB),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # On by default: a second server on the same port would start, and take half of the calls.
    ("grpc.so_reuseport", 0),
    # Sockets that connect and stay silent are closed; the default waits for 120 s.
    ("grpc.server_handshake_timeout_ms", 5_000),
    # Clients may ping every 20 s (we document 30), also between calls; we look for dead ones every minute.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Connections are made anew now and then, so that they spread over new replicas; the longest watch fits in.
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 31 * 60_000),
)


class RpcServer:
    """To be made in the loop that serves it."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        commits: Commits,
        admin: Admin,
        intake: Intake,
        unready: Unready,
        observe: Observe,
        reflected: bool,
    ) -> None:
        self._commits = commits
        self._waits = Waits(engine)
        self._watches = Watches(engine, commits)
        self._health = Health(_SERVICES, unready)
        self._server = grpc.aio.server(interceptors=[Reception(observe)], options=_OPTIONS)
        admission = Admission(engine, self._commits)
        queue = QueueServicer(
            engine=engine,
            intake=intake,
            admission=admission,
            commits=self._commits,
            waits=self._waits,
            watches=self._watches,
        )
        add_QueueServiceServicer_to_server(queue, self._server)
        add_EmailServiceServicer_to_server(EmailServicer(intake=intake, admission=admission), self._server)
        add_AdminServiceServicer_to_server(AdminServicer(admin, intake), self._server)
        add_HealthServicer_to_server(self._health, self._server)
        if reflected:
            health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            reflection.enable_server_reflection((*_SERVICES, health, reflection.SERVICE_NAME), self._server)

    def listen(self, address: Address) -> Address:
        """Opens the port; the address with the port that it really is. Raises RuntimeError, which does not say why."""
        return Address(host=address.host, port=self._server.add_insecure_port(str(address)))

    async def start(self) -> None:
        await self._health.start()
        await self._server.start()

    async def stop(self, grace: timedelta) -> None:
        """New calls are refused at once, running ones have `grace`; whatever was accepted is committed."""
        self._health.stop()
        self._waits.close()
        self._watches.close()
        await self._server.stop(grace.total_seconds())
        await self._watches.drain()
        await self._commits.drain()
