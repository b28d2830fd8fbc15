"""Catalog tasks as Dramatiq actors, and jobs as what they are called with.

An actor made from a handler gets its job's holding and decodes the payload in the thread that runs it. Plain Dramatiq
actors work as well: the payload of their jobs is a call, `{"args": [1], "kwargs": {"x": 2}}`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dramatiq
import msgspec
from dramatiq.middleware import CurrentMessage

from server.catalog import Handler, InvalidPayload, PermanentFailure
from workers.body import in_thread, on_loop
from workers.context import Context
from workers.holding import Holding
from workers.message import JobProxy
from workers.settler import Settler

FROM_CATALOG = "cabrank_task"  # the option that marks actors made from a handler
# What a plain actor may be declared or sent with; the names are those of Dramatiq's own middleware.
OPTIONS = (FROM_CATALOG, "max_retries", "min_backoff", "max_backoff", "time_limit", "notify_shutdown")


class Call(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of a plain actor's job."""

    args: list[Any]
    kwargs: dict[str, Any]


def declare(broker: dramatiq.Broker, handler: Handler[Any]) -> dramatiq.Actor[Any, Any]:
    """Makes the actor that runs a task, under the task's name and on its queue."""
    task = handler.task
    options: dict[str, Any] = {FROM_CATALOG: True}
    decorate = dramatiq.actor(actor_name=task.name, queue_name=task.queue, broker=broker, **options)
    return decorate(_runner(handler))


def adopt(actor: dramatiq.Actor[Any, Any]) -> None:
    """Lets an actor that knows nothing of jobs run one: it can be interrupted, and what it returns is kept."""
    function = actor.fn

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        holding = _about_to_run(actor)
        if holding is None:
            return function(*args, **kwargs)
        holding.result = in_thread(holding, lambda: function(*args, **kwargs))
        return None

    if not actor.options.get(FROM_CATALOG):
        actor.fn = run


def arguments_of(
    actor: dramatiq.Actor[Any, Any], holding: Holding, settler: Settler
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call the actor with. Raises PermanentFailure for a payload that is no call."""
    if actor.options.get(FROM_CATALOG):
        return (holding, Context(holding, settler)), {}
    try:
        call = msgspec.json.decode(holding.job.payload, type=Call)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PermanentFailure(f"the payload is no call of {actor.actor_name}: {error}") from None
    return tuple(call.args), call.kwargs


def _no_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuses what nobody would await: the job would count as completed, and nothing of it would have been done."""

    def call(payload: Any, job: Context) -> Any:
        result = function(payload, job)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("the handler returned a coroutine: whatever is wrapped around it must be async as well")
        return result

    return call


def _about_to_run(actor: dramatiq.Actor[Any, Any]) -> Holding | None:
    """The holding that this thread has the actor called for; None where it is called like any function."""
    message: object = CurrentMessage.get_current_message()
    if not isinstance(message, JobProxy) or message.actor_name != actor.actor_name:
        return None
    return message.holding if message.holding.ready else None


def _runner(handler: Handler[Any]) -> Callable[[Holding, Context], None]:
    task = handler.task
    run_body, call = (on_loop, handler.run) if handler.is_async else (in_thread, _no_coroutine(handler.run))

    def runner(holding: Holding, context: Context) -> None:
        try:
            payload = task.decode(holding.job.payload)
        except InvalidPayload as error:
            # It was valid where it was enqueued: the two sides run different versions of the task.
            raise PermanentFailure(
                f"the payload does not fit task {task.name} as this worker knows it: {error}"
            ) from None
        holding.result = run_body(holding, lambda: call(payload, context))

    runner.__name__ = runner.__qualname__ = task.name.replace(".", "_")
    return runner
