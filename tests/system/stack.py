"""Starts the service's processes for a test or a measurement, and ends them with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc

from server.dev.ports import free_port
from server.dev.tether import tethered
from server.dev.valkey import EmbeddedServer
from server.engine.engine import Engine
from server.engine.store import Store

ROOT = Path(__file__).parents[2]
_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger."""

    event: str
    job_id: str
    attempt: int
    pid: int
    at: float  # s, monotonic


class Stack:
    """An embedded Valkey, and on demand servers, workers and a mail sink that all know each other."""

    def __init__(self, **environment: str) -> None:
        self._exits = ExitStack()
        # Short: a socket's path has a limit.
        self.folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="cr-")))
        self.redis = self._exits.enter_context(EmbeddedServer.start(self.folder / "data"))
        self.ledger_path = self.folder / "ledger"
        self.mail_folder = self.folder / "mail"
        self.grpc_address = f"127.0.0.1:{free_port()}"
        self.http_address = f"127.0.0.1:{free_port()}"
        self.smtp_port = free_port()
        self.environment = {
            "REDIS_URL": self.redis.url,
            "GRPC_ADDRESS": self.grpc_address,
            "HTTP_ADDRESS": self.http_address,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.smtp_port),
            "SMTP_TLS": "none",
            "CABRANK_REFLECTION": "1",
            "CABRANK_TASK_MODULES": "tests.system.tasks",
            "CABRANK_TEST_LEDGER": str(self.ledger_path),
            "dramatiq_worker_timeout": "200",
            "PYTHONPATH": str(ROOT),
            **environment,
        }

    @property
    def engine(self) -> Engine:
        """A way past the service, to look at what it did."""
        return self._exits.enter_context(Engine(Store.parse(self.redis.url)))

    def server(self) -> subprocess.Popen[bytes]:
        """`python -m server`, once it answers."""
        process = self.start("server", sys.executable, "-m", "server")
        with grpc.insecure_channel(self.grpc_address) as channel:
            grpc.channel_ready_future(channel).result(timeout=_READY_SECONDS)
        return process

    def workers(self, *, processes: int = 1, threads: int = 8, **environment: str) -> subprocess.Popen[bytes]:
        """`dramatiq workers`, once every process is on duty."""
        command = ("dramatiq", "workers", "-p", str(processes), "-t", str(threads), "--skip-logging")
        log = self.folder / f"workers-{time.monotonic_ns()}.log"
        process = self.start(log.stem, sys.executable, "-m", *command, **environment)

        def on_duty() -> bool:
            if process.poll() is not None:
                raise ChildProcessError(f"the workers ended with {process.returncode}:\n{log.read_text()}")
            return log.read_text().count("worker process on duty") == processes

        until(on_duty, seconds=_READY_SECONDS)
        return process

    def sink(self, *, delay: float = 0) -> subprocess.Popen[bytes]:
        """An SMTP server that keeps the mails in `mail_folder`, once it listens."""
        address = f"127.0.0.1:{self.smtp_port}"
        command = ("-m", "server.dev.sink", "--address", address, "--folder", str(self.mail_folder))
        process = self.start("sink", sys.executable, *command, "--delay", str(delay))
        until(lambda: _listens(self.smtp_port), seconds=_READY_SECONDS)
        return process

    def channel(self) -> grpc.Channel:
        return self._exits.enter_context(grpc.insecure_channel(self.grpc_address))

    def ledger(self) -> list[Line]:
        """What the tasks wrote so far."""
        if not self.ledger_path.exists():
            return []
        lines = (line.split() for line in self.ledger_path.read_text().splitlines())
        return [Line(event, job, int(attempt), int(pid), float(at)) for event, job, attempt, pid, at in lines]

    def mails(self) -> list[Path]:
        return sorted(self.mail_folder.glob("*.eml"))

    def start(self, name: str, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
        """Any program, its output in `<name>.log`; ended with the stack, and by the kernel with this process."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                tethered(argv),
                cwd=ROOT,
                env=os.environ | self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._exits.callback(_end, process)
        return process

    def log(self, name: str) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"{name}*.log")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()


def until(condition: Callable[[], bool], *, seconds: float = 20.0, every: float = 0.01) -> None:
    """Waits for a condition. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(every)


def most_at_once(ledger: list[Line]) -> int:
    """How many runs overlapped, by the ledger's own times."""
    most = running = 0
    # An end and a start of the same moment do not overlap.
    for line in sorted(ledger, key=lambda line: (line.at, line.event == "start")):
        running += 1 if line.event == "start" else -1
        most = max(most, running)
    return most


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
