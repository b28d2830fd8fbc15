"""grpc.health.v1: every service is SERVING while jobs can be taken, and NOT_SERVING from the start of a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse  # type: ignore[import-untyped]  # it has no stubs
from grpc_health.v1.health_pb2_grpc import HealthServicer  # type: ignore[import-untyped]  # it has no stubs

from server import logs
from server.rpc.reception import Context

Unready = Callable[[], Awaitable[str | None]]  # why no job can be taken now; None: nothing is in the way

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING
_EVERY_SECONDS = 2.0


class Health(HealthServicer):  # type: ignore[misc]  # for the same reason
    """Follows readiness, and logs when it changes.

    Not the servicer of grpcio-health-checking: a Watch of that one goes on for ever, and would hold up every stop.
    """

    def __init__(self, services: Iterable[str], unready: Unready) -> None:
        self._services = frozenset(("", *services))
        self._unready = unready
        self._status = HealthCheckResponse.UNKNOWN
        self._changed = asyncio.Event()
        self._over = False
        self._log = logs.get_logger(__name__)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the first look was taken."""
        await self._look()
        self._task = asyncio.create_task(self._follow())

    def stop(self) -> None:
        """Tells everybody that it is over, and ends every Watch."""
        if self._task:
            self._task.cancel()
        self._over = True
        self._tell(_NOT_SERVING)

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(StatusCode.NOT_FOUND, "there is no such service here")
        return HealthCheckResponse(status=self._status)

    async def Watch(self, request: HealthCheckRequest, _context: Context) -> AsyncIterator[HealthCheckResponse]:
        told = None
        while True:
            changed, over = self._changed, self._over
            known = request.service in self._services
            status = self._status if known else HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                yield HealthCheckResponse(status=status)
            if over:
                return
            told = status
            await changed.wait()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self._look()

    async def _look(self) -> None:
        why = await self._unready()
        status = _NOT_SERVING if why else _SERVING
        if status == self._status:
            return
        if why:
            self._log.warning("not ready", why=why)
        else:
            self._log.info("ready")
        self._tell(status)

    def _tell(self, status: HealthCheckResponse.ServingStatus) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()
