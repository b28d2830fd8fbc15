"""Moments and spans as Redis has them: whole milliseconds, since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(span: timedelta) -> int:
    """Rounded up: a wait is never shorter than it was asked for."""
    return -(-span // MILLISECOND)


def epoch_ms(moment: datetime) -> int:
    """Rounded up as well: nothing is due before its time. `moment` must be aware."""
    return milliseconds(moment - EPOCH)


def moment(ms: float) -> datetime:
    """The other way."""
    return EPOCH + ms * MILLISECOND
