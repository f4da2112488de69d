"""The ASGI application: routes in, replies out, and no error that leaves in another shape than OpenAI's."""

import logging
import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from common.types.ids import new_request_id
from router.http.front import Front
from router.http.keys import KeyCheck
from router.http.refusal import HttpRefusal, Reply, bug_reply, reply_to
from router.http.routes import ROUTES
from router.http.trace import TraceParent
from router.incoming import named, request_id

_log = logging.getLogger("baton.router.http")


def build(front: Front) -> Starlette:
    """Endpoints find the front as `request.app.state.front`."""
    routes = [Route(each.path, each.endpoint, methods=[each.method]) for each in ROUTES]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(CatchAll), Middleware(KeyCheck, front=front), Middleware(TraceParent)],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    app.state.front = front
    return app


class CatchAll:
    """Expected errors get their row of the table; a bug gets an id, and its traceback goes to the log.

    Every answer is named by `x-request-id`, and what it asked to be computed is called the same in every log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, id = False, new_request_id()
        header = (b"x-request-id", id.encode())

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        with named(id):
            try:
                await self._app(scope, receive, watched)
            except Exception as error:  # noqa: BLE001 - nothing may pass this line as text
                reply = reply_to(error) or _bug(scope, error)
                if not started:
                    await _response(reply)(scope, receive, watched)


def _bug(scope: Scope, error: Exception) -> Reply:
    error_id = secrets.token_hex(6)
    facts = {"request": request_id(), "method": scope.get("method"), "path": scope.get("path"), "error_id": error_id}
    _log.error("bug", extra=facts, exc_info=error)
    return bug_reply(error_id)


async def _refused(request: Request, error: Exception) -> Response:
    """What starlette itself refuses: a path or a method it does not know."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    if status == 405:
        refusal = HttpRefusal(405, "method_not_allowed", "this path does not take that method", headers)
    else:
        refusal = HttpRefusal(404, "not_found", "there is nothing at this path", headers)
    reply = reply_to(refusal)
    return _response(reply if reply is not None else bug_reply(""))


def _response(reply: Reply) -> Response:
    """The log tells which error it was."""
    _log.info("refused", extra={"request": request_id(), "status": reply.status, "code": reply.code})
    return Response(reply.body, reply.status, dict(reply.headers), "application/json")
