"""Why the stack did not start, or stopped: sentences for the one who typed `make run`.

StackError
├── ServerStartFailed   no Valkey or Redis came up
├── PortTaken           nothing of ours can listen there
├── FolderRefused       the data folder cannot be used, most often because a stack runs on it
├── NotReady            a program runs and cannot be used
└── ProgramEnded        a program that should run on has ended
"""

from pathlib import Path

from server.settings import Address


class StackError(Exception):
    """The stack cannot run, or no longer."""


class ServerStartFailed(StackError):
    """There is no Redis-protocol server to start, or the one that was started did not come up."""


class PortTaken(StackError):
    """Nothing of ours can listen there: most often somebody else does."""

    def __init__(self, setting: str, address: Address, *, reason: str) -> None:
        super().__init__(setting, address, reason)
        self.setting = setting
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.setting}: cannot listen on {self.address} ({self.reason.lower()})."
            f" Stop what runs there, or set {self.setting} to another address"
        )


class FolderRefused(StackError):
    """The data folder cannot be made or written to, or a stack already runs on it."""

    def __init__(self, folder: Path, *, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"CABRANK_DATA_DIR: {self.folder} cannot be used ({self.reason.lower()})"


class NotReady(StackError):
    """A program runs but does not answer, or says that it is not ready: the server without its Redis."""

    def __init__(self, name: str, *, where: str, seconds: float) -> None:
        super().__init__(name, where, seconds)
        self.name = name
        self.where = where
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.name} was not ready on {self.where} within {self.seconds:g} s"


class ProgramEnded(StackError):
    """A program that should run as long as the stack has ended; its own last lines say why."""

    def __init__(self, name: str, *, code: int) -> None:
        super().__init__(name, code)
        self.name = name
        self.code = code

    def __str__(self) -> str:
        how = f"with exit code {self.code}" if self.code >= 0 else f"by signal {-self.code}"
        return f"{self.name} ended {how}, so everything was stopped"
