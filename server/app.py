"""The service as a whole: what it is built of, and the order in which that starts and stops."""

from __future__ import annotations

import asyncio
import signal
import socket

from server import logs
from server.admin import Admin
from server.catalog import Catalog
from server.engine.async_engine import AsyncEngine
from server.engine.commits import Commits
from server.engine.errors import EngineError, InvalidValue
from server.engine.store import Store
from server.metrics import Metrics
from server.rpc.intake import Intake
from server.rpc.server import RpcServer
from server.settings import Address, Settings
from server.web.routes import application
from server.web.server import WebServer

# How long Redis may take for one answer: so soon a caller is told that it is away.
_REDIS_SECONDS = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StartRefused(Exception):
    """The service cannot run as it was told to. The text says what to change."""


async def serve(settings: Settings, catalog: Catalog) -> None:
    """Runs the service until the first SIGTERM or SIGINT. Raises StartRefused, InvalidCatalog, SettingsError."""
    stop = _first_signal()
    app = App(settings, catalog)
    await app.start()
    await stop.wait()
    await app.stop()


class App:
    """To be made in the loop that it runs in."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._queues = catalog.queues
        self._log = logs.get_logger(__name__)
        self._engine = AsyncEngine(_store(settings), timeout=_REDIS_SECONDS)
        self._readiness = Readiness(self._engine)
        metrics = Metrics(self._engine, catalog=catalog, settings_of=settings.queue, bullmq=settings.bullmq_metrics)
        self._commits = Commits(self._engine)
        admin = Admin(engine=self._engine, commits=self._commits, catalog=catalog, settings_of=settings.queue)
        self._rpc = RpcServer(
            engine=self._engine,
            commits=self._commits,
            admin=admin,
            intake=Intake(catalog, settings.queue),
            unready=self._readiness.unready,
            observe=metrics.observe,
            reflected=settings.reflection,
        )
        self._web = WebServer(application(admin=admin, unready=self._readiness.unready, exposition=metrics.exposition))

    async def start(self) -> None:
        """Does not wait for Redis: callers are told that it is away. Raises StartRefused when a port is taken."""
        door = _opened("HTTP_ADDRESS", self._settings.http_address)
        # gRPC opens its port by itself; where it cannot, it does not say why.
        _opened("GRPC_ADDRESS", self._settings.grpc_address).close()
        grpc_address = self._rpc.listen(self._settings.grpc_address)
        self._announce()
        await self._rpc.start()
        http_address = self._web.start(door)
        self._log.info("serving", grpc=str(grpc_address), http=str(http_address))

    async def stop(self) -> None:
        """Running calls have the grace that is set; what was accepted is committed."""
        grace = self._settings.shutdown_grace
        self._log.info("stopping", grace_seconds=grace.total_seconds())
        self._readiness.stopping = True
        await self._rpc.stop(grace)
        await self._web.stop()
        await self._commits.drain()  # what came in by HTTP meanwhile
        await self._engine.close()
        self._log.info("stopped")

    def _announce(self) -> None:
        """In the words that teams know from their last queue, and look for. The limit holds over all workers."""
        for queue in self._queues:
            concurrency = self._settings.queue(queue).concurrency
            self._log.info(f"queue created: {queue}", concurrency=concurrency)
            self._log.info(f"worker created: {queue} (concurrency: {concurrency})")
        self._log.info(f"queue system initialized with {len(self._queues)} queues")


class Readiness:
    """Whether jobs can be taken: a small write to Redis succeeds, and the service is not stopping."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._log = logs.get_logger(__name__)
        self._cause = ""
        self.stopping = False

    async def unready(self) -> str | None:
        """Why not, for a person; None when they can."""
        if self.stopping:
            return "the service is stopping"
        try:
            await self._engine.probe()
        except Exception as error:
            self._note(error.__cause__ or error)
            return str(error) if isinstance(error, EngineError) else "the queue's storage refuses a write"
        self._cause = ""
        return None

    def _note(self, fault: BaseException) -> None:
        """A wrong password, address or right is for the log alone. Told once, however often it is asked for."""
        cause = f"{type(fault).__name__}: {fault}"
        if cause != self._cause:
            self._log.warning("no job can be stored", cause=cause)
        self._cause = cause


def _store(settings: Settings) -> Store:
    if settings.redis_url is None:
        raise StartRefused(
            "no Redis is configured: set REDIS_URL or REDIS_HOST, and REDIS_ENABLED not to false"
            " (`make run` brings a Redis of its own)."
        )
    if settings.durability != "memory":
        raise StartRefused(f"CABRANK_DURABILITY is {settings.durability}, but only memory can be given yet.")
    try:
        return Store.parse(settings.redis_url)
    except InvalidValue as refusal:
        raise StartRefused(f"{refusal}.") from None


def _opened(setting: str, address: Address) -> socket.socket:
    """A socket that listens there. Raises StartRefused, which names the setting."""
    door = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    # As every server does: a port whose last connections still linger is free.
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((address.host, address.port))
        door.listen()
    except OSError as error:
        door.close()
        raise StartRefused(f"{setting}: nothing can listen at {address}: {error.strerror}.") from error
    return door


def _first_signal() -> asyncio.Event:
    """Set by the first signal; the second one does what it does to a process that never cared."""
    came = asyncio.Event()
    loop = asyncio.get_running_loop()

    def note() -> None:
        came.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, note)
    return came
