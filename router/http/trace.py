"""Takes the `traceparent` header of a request along, so that its spans become a part of the client's trace."""

from starlette.types import ASGIApp, Receive, Scope, Send

from router.incoming import part_of


class TraceParent:
    """Looks at one header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = next((value for name, value in scope.get("headers", ()) if name == b"traceparent"), b"")
        with part_of(sent.decode("latin-1")):
            await self._app(scope, receive, send)
