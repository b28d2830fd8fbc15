"""The outermost layer around every rpc with one request: deadline, status, one line in the log, one observation."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
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
Answers: TypeAlias = AsyncGenerator[Any, None]

USUAL_SECONDS = 10.0  # where the caller set no deadline; a stream has none then
_LONG_POLLS = {"cabrank.v1.QueueService/WaitJob": LONGEST_WAIT + USUAL_SECONDS}
_LEAST_SECONDS = 0.005  # with less left nothing is begun: the answer would come too late

# Callers' own mistakes are their matter, and come in any number; faults on this side are for the operator.
_LEVELS = dict.fromkeys(("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"), logging.WARNING)
_LEVELS |= {"OK": logging.DEBUG, "INTERNAL": logging.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rpc:
    method: str
    streams: bool
    parse: Callable[[bytes], Any]
    behave: Callable[[Any, Context], Any]  # an answer to be awaited, or the answers of a stream

    @property
    def patience(self) -> float | None:
        """Seconds, where the caller set no deadline."""
        return None if self.streams else _LONG_POLLS.get(self.method, USUAL_SECONDS)


@dataclass(slots=True)
class _Visit:
    """One call of an rpc."""

    rpc: _Rpc
    context: Context
    began: float = field(default_factory=time.perf_counter)
    answered: float | None = None  # when the first answer of a stream was written


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
        if handler is None or handler.request_streaming:
            return handler
        rpc = _Rpc(
            method=handler_call_details.method.removeprefix("/"),
            streams=handler.response_streaming,
            parse=handler.request_deserializer or bytes,
            behave=cast(Any, handler.unary_stream or handler.unary_unary),
        )

        async def receive(message: bytes, context: Context) -> Any:
            return await self._receive(_Visit(rpc, context), message)

        received = grpc.unary_stream_rpc_method_handler if rpc.streams else grpc.unary_unary_rpc_method_handler
        # Without a deserializer: gRPC would tell of a malformed message in its own way, as UNKNOWN.
        return received(receive, None, handler.response_serializer)

    async def _receive(self, visit: _Visit, message: bytes) -> Any:
        context = visit.context
        try:
            answer = await _bounded(visit, message)
        except asyncio.CancelledError:
            over = context.time_remaining() == 0
            self._note(visit, "DEADLINE_EXCEEDED" if over else "CANCELLED")
            raise
        except grpc.aio.AbortError:
            self._note(visit, context.code().name)
            raise
        except Exception as error:
            told, seen = _told(error)
            self._note(visit, told.code.name, **seen)
            await context.abort_with_status(told)
        self._note(visit, "OK")
        return answer

    def _note(self, visit: _Visit, code: str, **seen: Any) -> None:
        method, now = visit.rpc.method, time.perf_counter()
        # Of a stream, how long its first answer took: how long it stayed open after that is no latency.
        self._observe(method, code, (visit.answered or now) - visit.began)
        level = _LEVELS.get(code, logging.INFO)
        self._log.log(level, "rpc", method=method, code=code, ms=round((now - visit.began) * 1000, 1), **seen)


async def _bounded(visit: _Visit, message: bytes) -> Any:
    """The answer, within the deadline that the caller set or should have set."""
    left = visit.context.time_remaining()
    seconds = visit.rpc.patience if left is None else left
    if seconds is not None and seconds < _LEAST_SECONDS:
        raise OutOfTime
    try:
        async with asyncio.timeout(seconds) as bound:
            return await _answered(visit, _parsed(visit.rpc, message))
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise OutOfTime from error


async def _answered(visit: _Visit, request: Any) -> Any:
    behaving = visit.rpc.behave(request, visit.context)
    return await (_written(visit, behaving) if visit.rpc.streams else behaving)


async def _written(visit: _Visit, answers: Answers) -> None:
    async with aclosing(answers):
        async for answer in answers:
            try:
                await visit.context.write(answer)
            except grpc.aio.InternalError as error:  # he has left, and here that is noticed before gRPC cancels
                raise asyncio.CancelledError from error
            visit.answered = visit.answered or time.perf_counter()


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
