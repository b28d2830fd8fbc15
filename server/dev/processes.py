"""The programs of the stack as child processes: started, listened to, and stopped without leftovers."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Never, Self, cast

from server.dev.errors import ProgramEnded
from server.dev.tether import tethered

_LAST_WORDS_SECONDS = 0.2
_NAME_WIDTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. `environment` goes on top of ours; `grace`, in seconds, lies between TERM and KILL."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: float = 0.3


class Children:
    """The running programs. `async with` stops them: the last first, those started together at once."""

    def __init__(self) -> None:
        self._stages: list[list[Child]] = []

    async def start(self, *programs: Program) -> None:
        """Start these together, as one stage."""
        stage: list[Child] = []
        self._stages.append(stage)
        for program in programs:
            stage.append(await Child.start(program))

    async def first_end(self) -> Never:
        """Wait until one of them ends of itself, which none should. Raises ProgramEnded."""
        children = {child.ended: child for stage in self._stages for child in stage}
        ended, _ = await asyncio.wait(children, return_when=asyncio.FIRST_COMPLETED)
        first = ended.pop()
        raise ProgramEnded(children[first].program.name, code=first.result())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))


class Child(asyncio.SubprocessProtocol):
    """One running program, in a session of its own: Ctrl-C in the terminal reaches the stack alone.

    No asyncio.subprocess.Process: its `wait` may also wait for grandchildren, which hold the output.
    """

    def __init__(self, program: Program) -> None:
        loop = asyncio.get_running_loop()
        self.program = program
        self.ended: asyncio.Future[int] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._begun_line = b""

    @classmethod
    async def start(cls, program: Program) -> Self:
        _, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(program),
            *tethered(program.argv),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return child

    async def stop(self) -> None:
        """TERM to the program, which sees to its own children; after its grace, KILL to whatever is left."""
        self._send(os.kill, signal.SIGTERM)
        await asyncio.wait({self.ended}, timeout=self.program.grace)
        self._send(os.killpg, signal.SIGKILL)
        await self.ended
        await asyncio.wait({self._silent}, timeout=_LAST_WORDS_SECONDS)
        self._transport.close()

    def _send(self, kill: Callable[[int, int], None], number: signal.Signals) -> None:
        # Not by the transport, which would reap the child under the eyes of asyncio's own watcher.
        with contextlib.suppress(ProcessLookupError):
            kill(self._transport.get_pid(), number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        *lines, self._begun_line = (self._begun_line + data).split(b"\n")
        for line in lines:
            self._say(line)

    def pipe_connection_lost(self, _fd: int, _fault: Exception | None) -> None:
        if self._begun_line:
            self._say(self._begun_line)
        self._silent.set_result(None)

    def process_exited(self) -> None:
        self.ended.set_result(cast(int, self._transport.get_returncode()))

    def _say(self, line: bytes) -> None:
        print(f"{self.program.name:>{_NAME_WIDTH}} | {line.decode(errors='replace')}", flush=True)
