"""The outermost layer around every unary rpc: its deadline, its status, one line in the log, one observation."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status  # type: ignore[import-untyped]  # it has no stubs

from server import logs
from server.rpc.errors import MalformedRequest, OutOfTime
from server.rpc.status import bug, status_of
from server.rpc.wait import LONGEST_WAIT

Observe = Callable[[str, str, float], None]  # method, code, seconds
# In quotes: they are generic for the type checker alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]

_USUAL_SECONDS = 10.0  # where the caller set no deadline
_LONG_POLLS = {"cabrank.v1.QueueService/WaitJob": LONGEST_WAIT + _USUAL_SECONDS}
_LEAST_SECONDS = 0.005  # with less left nothing is begun: the answer would come too late

# Callers' own mistakes are their matter, and come in any number; faults on this side are for the operator.
_LEVELS = dict.fromkeys(("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"), logging.WARNING)
_LEVELS |= {"OK": logging.DEBUG, "INTERNAL": logging.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rpc:
    method: str
    parse: Callable[[bytes], Any]
    behave: Behaviour


class Reception(grpc.aio.ServerInterceptor):
    """Must be the first interceptor. What is refused further in is raised there, and becomes a status here."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._log = logs.get_logger(__name__).bind()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        rpc = _Rpc(
            method=handler_call_details.method.removeprefix("/"),
            parse=handler.request_deserializer or bytes,
            behave=cast(Behaviour, handler.unary_unary),
        )

        async def receive(message: bytes, context: Context) -> Any:
            return await self._receive(rpc, message, context)

        # Without a deserializer: gRPC would tell of a malformed message in its own way, as UNKNOWN.
        return grpc.unary_unary_rpc_method_handler(receive, None, handler.response_serializer)

    async def _receive(self, rpc: _Rpc, message: bytes, context: Context) -> Any:
        began = time.perf_counter()
        try:
            answer = await _bounded(rpc, message, context)
        except asyncio.CancelledError:
            over = context.time_remaining() == 0
            self._note(rpc.method, "DEADLINE_EXCEEDED" if over else "CANCELLED", began)
            raise
        except grpc.aio.AbortError:
            self._note(rpc.method, context.code().name, began)
            raise
        except Exception as error:
            told, seen = _told(error)
            self._note(rpc.method, told.code.name, began, **seen)
            await context.abort_with_status(told)
        self._note(rpc.method, "OK", began)
        return answer

    def _note(self, method: str, code: str, began: float, **seen: Any) -> None:
        seconds = time.perf_counter() - began
        self._observe(method, code, seconds)
        level = _LEVELS.get(code, logging.INFO)
        self._log.log(level, "rpc", method=method, code=code, ms=round(seconds * 1000, 1), **seen)


async def _bounded(rpc: _Rpc, message: bytes, context: Context) -> Any:
    """The answer, within the deadline that the caller set or should have set."""
    left = context.time_remaining()
    seconds = _LONG_POLLS.get(rpc.method, _USUAL_SECONDS) if left is None else left
    if seconds < _LEAST_SECONDS:
        raise OutOfTime
    try:
        async with asyncio.timeout(seconds) as bound:
            return await rpc.behave(_parsed(rpc, message), context)
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise OutOfTime from error


def _parsed(rpc: _Rpc, message: bytes) -> Any:
    try:
        return rpc.parse(message)
    except DecodeError as error:
        raise MalformedRequest from error


def _told(error: Exception) -> tuple[grpc.Status, dict[str, Any]]:
    """What the caller is told of an error, and what the log keeps of it."""
    status = status_of(error)
    if status is not None:
        return rpc_status.to_status(status), {"why": status.message}
    correlation_id = secrets.token_hex(8)
    return rpc_status.to_status(bug(correlation_id)), {"correlation_id": correlation_id, "exc_info": error}
