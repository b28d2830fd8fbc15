"""Transitions of a queue as a whole, which operators ask for: pause, resume, update."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from server.engine.call import Argument, Call, call
from server.engine.errors import InvalidValue
from server.engine.moments import epoch_ms
from server.engine.overrides import FIELDS, Overrides

_MOST_REASON = 200  # characters


def pause(queue: str, reason: str = "", *, until: datetime | None = None) -> Call[None]:
    """No job of the queue is handed out until resume, or until `until`. Repeated, it keeps what is not said again.

    What workers hold and have not started, they hand back; `unstarted` tells when all have.
    """
    if len(reason) > _MOST_REASON:
        raise InvalidValue("reason", f"must not be longer than {_MOST_REASON} characters")
    return call("pause", queue, [reason, epoch_ms(until) if until else 0], _nothing)


def resume(queue: str) -> Call[None]:
    """May be repeated."""
    return call("resume", queue, [], _nothing)


def unstarted(queue: str) -> Call[int]:
    """How many jobs a worker holds, under a lease that it keeps, without having said yet that it started them."""
    return call("unstarted", queue, [], int)


def update(queue: str, overrides: Overrides, *, reset: Sequence[str] = ()) -> Call[None]:
    """What `overrides` sets holds from now on; what `reset` names (see FIELDS) is as the environment says again.

    Raises InvalidValue for a name that is none, or that is set as well. May be repeated.
    """
    for name in reset:
        if name not in FIELDS:
            raise InvalidValue("reset", f"has no setting {name[:40]!r}: must be of {', '.join(FIELDS)}")
        if name in overrides.names:
            raise InvalidValue("reset", f"and {name} cannot be given together")
    gone = [field for name in reset for field in FIELDS[name]]
    arguments: list[Argument] = [len(gone), *gone]
    for field, value in overrides.fields().items():
        arguments += [field, value]
    return call("update", queue, arguments, _nothing)


def _nothing(_: object) -> None:
    return None
