"""A duty that a worker process has all the time: a thread that goes its rounds."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

_FAREWELL_SECONDS = 1.0  # for a round that is under way, perhaps waiting for a Redis that does not answer

log = structlog.get_logger(__name__)


class Rounds:
    """Calls `once` every so many seconds. What it raises is logged, and the next round comes all the same."""

    def __init__(self, name: str, once: Callable[[], None], *, every: Callable[[], float]) -> None:
        self._once = once
        self._every = every
        self._due = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def ending(self) -> bool:
        """Whether a long round should come to its end."""
        return self._ending.is_set()

    def start(self) -> None:
        self._thread.start()

    def soon(self) -> None:
        """The next round comes now. Returns at once."""
        self._due.set()

    def stop(self) -> None:
        """Waits for the round under way, though not for long."""
        self._ending.set()
        self._due.set()
        self._thread.join(_FAREWELL_SECONDS)

    def _work(self) -> None:
        while self._comes():
            try:
                self._once()
            except Exception:
                log.exception("round not finished", duty=self._thread.name)

    def _comes(self) -> bool:
        """Waits for the next round. False when there is none."""
        self._due.wait(self._every())
        # Before the look at the end, which is set before: so none is missed.
        self._due.clear()
        return not self._ending.is_set()
