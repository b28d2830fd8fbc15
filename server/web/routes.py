"""What the HTTP port answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server.admin import Admin
from server.web.api.routes import routes, unserved

Unready = Callable[[], Awaitable[str | None]]  # why no job can be taken now; None: nothing is in the way
Exposition = Callable[[], Awaitable[tuple[bytes, str]]]  # metrics, and their media type


def application(*, admin: Admin, unready: Unready, exposition: Exposition) -> Starlette:
    """/healthz: restart the process when it does not answer. /readyz: send it no callers while it is 503."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        why = await unready()
        return PlainTextResponse(f"{why or 'ok'}\n", status_code=503 if why else 200)

    async def metrics(_request: Request) -> Response:
        text, media_type = await exposition()
        return Response(text, media_type=media_type)

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *routes(admin),
        ],
        exception_handlers={404: unserved, 405: unserved},
    )
    app.router.redirect_slashes = False  # one path, one answer: scripts seldom follow a redirect
    return app
