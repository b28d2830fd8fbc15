"""Runs the body of a job so that an interrupt hits the body, and nothing before or after it.

An exception that another thread raises in this one arrives where this one happens to be. While a job's end is being
told, it would lose the end and, as it is no Exception, the thread with it: Dramatiq starts no other. So a job can be
interrupted only between `expose` and `end`, and each interrupt is raised under the lock that `end` takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Interrupt
from dramatiq.middleware.threading import raise_thread_exception

from workers.holding import Holding


def in_thread(holding: Holding, body: Callable[[], object]) -> object:
    """Runs it in this thread. Raises what it raises, or the interrupt."""
    thread = threading.get_ident()
    try:
        try:
            holding.expose(lambda reason: raise_thread_exception(thread, reason))  # type: ignore[no-untyped-call]
            return body()
        finally:
            holding.end()
    except Interrupt:
        # It may have come at the very `end` above, and before that had its effect.
        holding.end()
        raise


def on_loop(holding: Holding, body: Callable[[], Coroutine[Any, Any, object]]) -> object:
    """Runs a coroutine on the event loop of the process and waits for it; an interrupt cancels it there.

    Raises what it raises, or the interrupt. Returns only when the coroutine has ended: a job that is over is over.
    """
    loop = _loop()
    outcome: Future[object] = Future()

    def start() -> None:
        async def run() -> object:
            # Here and not where the task is made: a busy loop may come to it much later.
            holding.expose(lambda reason: loop.call_soon_threadsafe(task.cancel, reason.__name__))
            return await body()

        task = loop.create_task(run())
        task.add_done_callback(lambda task: _hand_over(task, outcome))

    # The loop takes the context of this thread over: log fields, and Dramatiq's current message.
    loop.call_soon_threadsafe(start)
    try:
        return outcome.result()
    except asyncio.CancelledError:
        if holding.reason is None:
            raise
        raise holding.reason from None
    finally:
        holding.end()


def _loop() -> asyncio.AbstractEventLoop:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("this process has no event loop")
    return thread.loop


def _hand_over(task: asyncio.Task[object], outcome: Future[object]) -> None:
    if task.cancelled():
        outcome.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
