"""Which processes of a test still run: all that inherited its mark, however deep (by Linux's /proc)."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

MARK = "CABRANK_TEST_MARK"


def survivors(mark: str) -> list[str]:
    """Command lines of the living processes that were started with `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text(errors="replace").replace("\0", " "))
    return found


def eventually(condition: Callable[[], object], *, seconds: float = 10) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
