"""What is served under /api: the endpoints and their description; all else is refused in the same envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server.admin import Admin
from server.web.api.endpoint import Endpoint
from server.web.api.endpoints import ENDPOINTS
from server.web.api.errors import ApiError, MethodNotAllowed, PathNotFound
from server.web.api.openapi import description
from server.web.api.reception import Reception, refused, told_of

_REFUSALS: Mapping[int, type[ApiError]] = {404: PathNotFound, 405: MethodNotAllowed}


def routes(admin: Admin) -> list[Route]:
    reception = Reception(admin)
    by_path = groupby(sorted(ENDPOINTS, key=_path), key=_path)
    return [_described(), *(_route(path, list(endpoints), reception) for path, endpoints in by_path)]


async def unserved(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: paths and methods that nothing is served under."""
    plain = cast(HTTPException, error)
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(f"{plain.detail}\n", status_code=plain.status_code, headers=plain.headers)
    told, _ = told_of(_REFUSALS[plain.status_code]())
    return refused(told, dict(plain.headers or {}))


def _route(path: str, endpoints: Sequence[Endpoint], reception: Reception) -> Route:
    """One for all methods of the path, so that a refusal names all of them."""
    by_method = {endpoint.method: endpoint for endpoint in endpoints}

    async def answer(request: Request) -> Response:
        return await reception.answer(by_method[request.method.replace("HEAD", "GET")], request)

    return Route(path, answer, methods=list(by_method))


def _described() -> Route:
    text = msgspec.json.encode(description(ENDPOINTS))

    async def answer(_request: Request) -> Response:
        return Response(text, media_type="application/json")

    return Route("/api/openapi.json", answer)


def _path(endpoint: Endpoint) -> str:
    return endpoint.full_path
