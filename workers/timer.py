"""Interrupts jobs that run for longer than they may.

In place of Dramatiq's TimeLimit, which raises when the job may already be over and its thread busy with another one.
"""

from __future__ import annotations

from dramatiq.middleware import TimeLimitExceeded

from workers.holding import Holdings
from workers.rounds import Rounds

_EVERY = 0.25  # s


class Timer(Rounds):
    """A thread of its own, for the keeper may be waiting for Redis."""

    def __init__(self, holdings: Holdings) -> None:
        super().__init__("timer", self.look, every=lambda: _EVERY)
        self._holdings = holdings

    def look(self) -> None:
        for holding in self._holdings:
            if holding.overdue:
                holding.interrupt(TimeLimitExceeded)
