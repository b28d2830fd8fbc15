"""What `actor.send` orders: a Dramatiq message as a new job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

import dramatiq
import msgspec

from server.catalog import Task
from server.engine.backoff import Backoff
from server.engine.job import NewJob
from workers.actor import Call

_USUAL_TIME_LIMIT = timedelta(minutes=10)
_SHORTEST_TIME_LIMIT, _LONGEST_TIME_LIMIT = timedelta(seconds=1), timedelta(hours=24)


class Rules(Protocol):
    """What a queue's settings say about its jobs."""

    @property
    def max_retries(self) -> int: ...
    @property
    def retry_delay(self) -> timedelta: ...


def job_of(
    message: dramatiq.Message[Any], task: Task[Any] | None, rules: Rules, *, options: Mapping[str, Any], delay: int
) -> NewJob:
    """The job that a message asks for. `task` is that of the catalog, if there is one; `delay` in ms.

    Raises InvalidPayload, InvalidValue, and TypeError for arguments that JSON cannot say.
    """
    if task is None:
        return _call(message, rules, options=options, delay=delay)
    if len(message.args) != 1 or message.kwargs:
        raise TypeError(f"task {task.name} takes its payload as the one argument")
    payload = msgspec.json.encode(message.args[0])
    task.check(payload)
    masked = task.mask(payload)
    return NewJob(
        queue=message.queue_name,
        id=message.message_id,
        task=message.actor_name,
        payload=payload,
        masked=masked if masked != payload else None,
        priority=task.priority,
        delay=timedelta(milliseconds=delay),
        max_attempts=task.max_attempts or rules.max_retries + 1,
        backoff=_backoff(task.retry_delay or rules.retry_delay),
        timeout=task.timeout,
    )


def _call(message: dramatiq.Message[Any], rules: Rules, *, options: Mapping[str, Any], delay: int) -> NewJob:
    retries = options.get("max_retries")
    return NewJob(
        queue=message.queue_name,
        id=message.message_id,
        task=message.actor_name,
        payload=msgspec.json.encode(Call(args=list(message.args), kwargs=message.kwargs)),
        delay=timedelta(milliseconds=delay),
        max_attempts=(rules.max_retries if retries is None else retries) + 1,
        backoff=_backoff(
            _milliseconds(options.get("min_backoff")) or rules.retry_delay, _milliseconds(options.get("max_backoff"))
        ),
        timeout=_time_limit(options.get("time_limit")),
    )


def _backoff(initial: timedelta, longest: timedelta | None = None) -> Backoff:
    return Backoff(initial=initial, longest=max(initial, longest or Backoff().longest))


def _milliseconds(given: float | None) -> timedelta | None:
    return None if given is None else timedelta(milliseconds=given)


def _time_limit(given: float | None) -> timedelta:
    """Out of range, the nearest that is in it: Dramatiq's limits may be infinite."""
    if given is None:
        return _USUAL_TIME_LIMIT
    if given >= _LONGEST_TIME_LIMIT / timedelta(milliseconds=1):
        return _LONGEST_TIME_LIMIT
    return max(_SHORTEST_TIME_LIMIT, timedelta(milliseconds=given))
