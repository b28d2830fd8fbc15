"""The one-command stack from its start to its end. Everything runs in processes of its own; this one watches."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, Never

from server.dev.errors import ProgramEnded
from server.dev.folder import held
from server.dev.plan import Plan
from server.dev.ports import check
from server.dev.processes import Children
from server.dev.valkey import EmbeddedServer

_LOOK_EVERY_SECONDS = 0.2


def run(plan: Plan) -> None:
    """Run it until SIGINT, SIGTERM or SIGHUP. Raises StackError when it cannot start or go on.

    Redis is started first and stopped last; the world around the service outlives the service.
    """
    begun = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(held(plan.settings.data_dir))
        for setting, address in plan.ports():
            check(setting, address)
        redis = stack.enter_context(_redis(plan)) if plan.embeds_redis else None
        asyncio.run(_run(plan, redis, begun=begun))


def _redis(plan: Plan) -> EmbeddedServer:
    return EmbeddedServer.start(plan.redis_dir, port=plan.settings.stack.redis_port or 0)


async def _run(plan: Plan, redis: EmbeddedServer | None, *, begun: float) -> None:
    stop_asked = _on_signals()
    async with Children() as children:
        await children.start(*plan.surroundings())
        await children.start(*plan.service(redis_url=redis.url if redis else None))
        await _first_of(stop_asked.wait(), children.first_end(), _end_of(redis), _greet_and_stay(plan, begun=begun))
        print("stopping", flush=True)


def _on_signals() -> asyncio.Event:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked


async def _first_of(*endings: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of them, raise what it raises, and give up the others."""
    tasks = [asyncio.create_task(ending) for ending in endings]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()


async def _end_of(redis: EmbeddedServer | None) -> Never:
    while redis is None or (code := redis.exit_code()) is None:  # noqa: ASYNC110  (nothing to wait on)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    raise ProgramEnded("valkey", code=code)


async def _greet_and_stay(plan: Plan, *, begun: float) -> Never:
    from server.dev.greeting import greet  # noqa: PLC0415  (brings grpc, while the children start)

    await greet(plan, begun=begun)
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")
