"""The outermost layer around every endpoint: values in, its answer or a refusal out, one line in the log."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from server import logs
from server.admin import Admin
from server.web.api import reading, status
from server.web.api.answers import AnyAnswer
from server.web.api.endpoint import Endpoint
from server.web.api.origin import refuse_other_sites

_FAULT, _OUTAGE = 500, 503
# It is about queues as they are now, and never a page.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Reception:
    """What is refused further in is raised there, and becomes an answer here."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._log = logs.get_logger(__name__).bind()

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        began = time.perf_counter()
        seen: dict[str, Any] = {}
        try:
            response = as_json(await self._asked(endpoint, request))
        except Exception as error:
            told, seen = told_of(error)
            response = refused(told)
        ms = round((time.perf_counter() - began) * 1000, 1)
        code = response.status_code
        self._log.log(_level(code), "http", endpoint=endpoint.name, status=code, ms=ms, **seen)
        return response

    async def _asked(self, endpoint: Endpoint, request: Request) -> AnyAnswer:
        if endpoint.writes:
            refuse_other_sites(request.headers)
        at = reading.from_path(request, endpoint.at)
        if endpoint.has_body:
            reading.refuse_query(request.query_params, endpoint.asked)
            asked = await reading.from_body(request, endpoint.asked)
        else:
            asked = reading.from_query(request.query_params, endpoint.asked)
        return await endpoint.handler(self._admin, at, asked)


def as_json(answer: msgspec.Struct, *, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(answer),
        status_code=code,
        media_type="application/json",
        headers=_HEADERS | (headers or {}),
    )


def refused(told: status.Told, headers: dict[str, str] | None = None) -> Response:
    again = {} if told.again_in is None else {"Retry-After": str(told.again_in)}
    return as_json(told.refusal, code=told.status, headers=again | (headers or {}))


def told_of(error: Exception) -> tuple[status.Told, dict[str, Any]]:
    """What the one who asked is told of an error, and what the log keeps of it."""
    told = status.told(error)
    if told is not None:
        return told, {"why": told.refusal.message}
    correlation_id = secrets.token_hex(8)
    return status.bug(correlation_id), {"correlation_id": correlation_id, "exc_info": error}


def _level(code: int) -> int:
    """Mistakes of those who ask are their matter, and come in any number; faults on this side are for the operator."""
    if code == _FAULT:
        return logging.ERROR
    if code == _OUTAGE:
        return logging.WARNING
    return logging.INFO if code >= 400 else logging.DEBUG  # noqa: PLR2004  (HTTP's own line)
