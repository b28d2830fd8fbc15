"""The folder in which a stack keeps everything; one stack at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.dev.errors import FolderRefused


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make it if need be, and hold it: two servers would spoil one append-only file. Raises FolderRefused.

    The lock is the kernel's and ends with this process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "stack.lock").open("w")
    except OSError as fault:
        raise FolderRefused(folder, reason=fault.strerror or str(fault)) from fault
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise FolderRefused(folder, reason="another stack runs on it") from fault
        yield
