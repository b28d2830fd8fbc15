"""A worker process whose `dramatiq` command was killed drains and ends, rather than working on unseen."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

_LOOK_EVERY_SECONDS = 0.25
_DRAIN_SECONDS = 30.0  # for the jobs that run


def end_with_parent() -> None:
    """Watches the parent from a thread of its own."""
    command = multiprocessing.parent_process()
    # As it was when this process began: it may be gone already.
    parent = os.getppid() if command is None or command.pid is None else command.pid
    threading.Thread(target=_watch, args=(parent,), name="orphan", daemon=True).start()


def _watch(parent: int) -> None:
    stopped = threading.Event()
    while os.getppid() == parent:
        stopped.wait(_LOOK_EVERY_SECONDS)
    # What this process says went to its parent by a pipe. Now each word would end it half-way.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  (for as long as the process lives)
    os.kill(os.getpid(), signal.SIGTERM)
    stopped.wait(_DRAIN_SECONDS)
    os._exit(1)
