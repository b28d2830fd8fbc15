"""How long a job that failed waits for its next attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from server.engine.errors import InvalidValue

_MOST_STEPS = 64  # beyond it every backoff has long reached its maximum, and powers would overflow
_LONGEST = timedelta(days=30)


class BackoffKind(StrEnum):
    """How the wait grows from one failure to the next."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The rule for the waits between attempts.

    `jitter` is the part of each wait that is left to chance, from 0 (none) to 1: jobs that failed in the same moment
    shall not come back in the same moment.
    """

    kind: BackoffKind = BackoffKind.EXPONENTIAL
    initial: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(hours=1)
    multiplier: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not timedelta(milliseconds=1) <= self.initial <= _LONGEST:
            raise InvalidValue("backoff.initial", "must lie between 1 ms and 30 days")
        if not self.initial <= self.longest <= _LONGEST:
            raise InvalidValue("backoff.max", "must lie between backoff.initial and 30 days")
        if not 1 <= self.multiplier <= 100:  # noqa: PLR2004  (the sentence below says it)
            raise InvalidValue("backoff.multiplier", "must lie between 1 and 100")
        if not 0 <= self.jitter <= 1:
            raise InvalidValue("backoff.jitter", "must lie between 0 and 1")

    def delay_after(self, failures: int, *, roll: float) -> timedelta:
        """The wait after that many failures, at least 1. `roll` lies in [0, 1); more of it waits less."""
        steps = min(failures, _MOST_STEPS) - 1
        full = min(self._growth(steps) * self.initial.total_seconds(), self.longest.total_seconds())
        return timedelta(seconds=full * (1 - self.jitter * roll))

    def _growth(self, steps: int) -> float:
        match self.kind:
            case BackoffKind.EXPONENTIAL:
                return self.multiplier**steps
            case BackoffKind.LINEAR:
                return 1.0 + steps
            case BackoffKind.FIXED:
                return 1.0
