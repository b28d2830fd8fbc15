"""Reading a refusal as a caller's program does: by code, reason and field, never by its sentence."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str]
    fields: tuple[str, ...] = ()
    resource: str = ""
    again_in: timedelta | None = None


async def refused(call: Awaitable[Any]) -> Refusal:
    """What the call ends with, which must not be an answer."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read(caught.value)


async def outcome(call: Awaitable[T]) -> T | grpc.StatusCode:
    """The answer, or the code of the refusal."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return error.code()


def read(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)
    if status is None:
        return Refusal(code=error.code(), message=error.details() or "", metadata={})
    info, bad, resource, again = (_detail(status, kind) for kind in (ErrorInfo, BadRequest, ResourceInfo, RetryInfo))
    return Refusal(
        code=error.code(),
        message=status.message,
        reason=info.reason if info else "",
        domain=info.domain if info else "",
        metadata=dict(info.metadata) if info else {},
        fields=tuple(violation.field for violation in bad.field_violations) if bad else (),
        resource=resource.resource_name if resource else "",
        again_in=again.retry_delay.ToTimedelta() if again else None,
    )


def _detail(status: Any, kind: Any) -> Any:
    """The one detail of its kind: the contract has at most one of each."""
    found = [detail for detail in status.details if detail.Is(kind.DESCRIPTOR)]
    assert len(found) <= 1
    message = kind()
    return message if found and found[0].Unpack(message) else None
