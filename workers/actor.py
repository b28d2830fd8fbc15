"""Catalog tasks as Dramatiq actors, and Dramatiq messages as jobs.

An actor made from a handler gets its job's holding and decodes the payload in the thread that runs it. Plain Dramatiq
actors work as well: `actor.send(1, x=2)` becomes a job whose payload is `{"args": [1], "kwargs": {"x": 2}}`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

import dramatiq
import msgspec
from dramatiq.asyncio import async_to_sync

from server.catalog import Catalog, Handler, InvalidPayload, PermanentFailure
from server.engine.backoff import Backoff
from server.engine.job import NewJob
from workers.context import Context
from workers.holding import Holding
from workers.settler import Settler

FROM_CATALOG = "cabrank_task"  # the option that marks these actors


class _Rules(Protocol):
    """What a queue's settings say about its jobs."""

    @property
    def max_retries(self) -> int: ...
    @property
    def retry_delay(self) -> timedelta: ...


def declare(broker: dramatiq.Broker, handler: Handler[Any]) -> dramatiq.Actor[Any, Any]:
    """Makes the actor that runs a task, under the task's name and on its queue."""
    task = handler.task
    options: dict[str, Any] = {FROM_CATALOG: True}
    decorate = dramatiq.actor(actor_name=task.name, queue_name=task.queue, broker=broker, **options)
    return decorate(_runner(handler))


def arguments_of(
    actor: dramatiq.Actor[Any, Any], holding: Holding, settler: Settler
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call the actor with."""
    if actor.options.get(FROM_CATALOG):
        return (holding, Context(holding, settler)), {}
    call = msgspec.json.decode(holding.job.payload, type=_Call)
    return tuple(call.args), call.kwargs


def job_of(message: dramatiq.Message[Any], catalog: Catalog, rules: _Rules, *, delay: int | None) -> NewJob:
    """The job that a message asks for. Raises InvalidPayload, and TypeError for arguments that JSON cannot say."""
    task = catalog.tasks.get(message.actor_name)
    if task is None:
        payload, masked = msgspec.json.encode(_Call(args=list(message.args), kwargs=message.kwargs)), None
    else:
        (given,) = message.args
        payload = msgspec.json.encode(given)
        task.check(payload)
        masked = shown if (shown := task.mask(payload)) != payload else None
    retries = message.options.get("max_retries")
    time_limit = message.options.get("time_limit")
    return NewJob(
        queue=message.queue_name,
        id=message.message_id,
        task=message.actor_name,
        payload=payload,
        masked=masked,
        priority=task.priority if task else 0,
        delay=timedelta(milliseconds=delay or 0),
        max_attempts=(task and task.max_attempts) or (rules.max_retries if retries is None else retries) + 1,
        backoff=Backoff(initial=(task and task.retry_delay) or rules.retry_delay),
        timeout=timedelta(milliseconds=time_limit) if time_limit else (task.timeout if task else timedelta(minutes=10)),
    )


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    args: list[Any]
    kwargs: dict[str, Any]


def _runner(handler: Handler[Any]) -> Callable[[Holding, Context], None]:
    task = handler.task
    run: Callable[[Any, Context], Any] = async_to_sync(handler.run) if handler.is_async else handler.run

    def runner(holding: Holding, context: Context) -> None:
        try:
            payload = task.decode(holding.job.payload)
        except InvalidPayload as error:
            # It was valid where it was enqueued: the two sides run different versions of the task.
            raise PermanentFailure(
                f"the payload does not fit task {task.name} as this worker knows it: {error}"
            ) from None
        holding.result = run(payload, context)
        # From here on neither a cancellation nor a lost lease can interrupt what is only bookkeeping.
        holding.end()

    runner.__name__ = runner.__qualname__ = task.name.replace(".", "_")
    return runner
