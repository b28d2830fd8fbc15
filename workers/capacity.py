"""How many jobs this process may hold at once.

As many as it has threads, and no more while jobs take their time: what it held beyond that, an idle worker elsewhere
could have started. Jobs that last less than a moment are held in stock, so that a thread never waits for Redis.
"""

from __future__ import annotations

import threading
from datetime import timedelta

_MOMENT = 0.05  # s of work for every thread that may lie in stock
_MOST_IN_STOCK = 256
_MEMORY = 0.1  # weight of the newest job in the average


class Capacity:
    """Places for jobs, shared by the consumers of all queues. Safe between threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._taken = 0
        self._average: float | None = None  # s
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        return self._taken

    def take(self, most: int, *, seconds: float) -> int:
        """Up to `most` places, waiting at most so long for the first; 0 when there was none."""
        with self._changed:
            self._changed.wait_for(lambda: self._free() > 0, timeout=seconds)
            places = max(0, min(most, self._free()))
            self._taken += places
            return places

    def give_back(self, places: int) -> None:
        """Places that turned out not to be needed, or are not any more. Below 0: more are needed than were taken."""
        if places:
            with self._changed:
                self._taken -= places
                self._changed.notify_all()

    def learn(self, lasted: timedelta) -> None:
        """How long a job ran."""
        seconds = lasted.total_seconds()
        with self._changed:
            self._average = seconds if self._average is None else self._average + _MEMORY * (seconds - self._average)

    def _free(self) -> int:
        return self._threads + self._stock() - self._taken

    def _stock(self) -> int:
        if self._average is None:
            return 0
        return int(min(_MOST_IN_STOCK, self._threads * _MOMENT / max(self._average, 1e-6)))
