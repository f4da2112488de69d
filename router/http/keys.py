"""Lets nobody in without the key that a route takes; what is at no route takes one too. Sits inside the catch-all.

A browser has no way to send a bearer: the page asks it for a log-in, whose password is the key and whose name is
nothing to us. From then on it sends that with every request, whoever's page makes it: such a log-in counts only where
the browser says that the request comes from this origin itself.
"""

import base64
import binascii

from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from common.types.errors import Unauthenticated
from router.http.front import Front
from router.http.refusal import HttpRefusal
from router.http.routes import ROUTES
from router.keys import Needs, bearer, let_in

LOG_IN = 'Basic realm="Baton", charset="UTF-8"'
OWN_SITES = {b"same-origin", b"none"}
_EXACT = {each.path: Needs(each.key.value) for each in ROUTES if "{" not in each.path}
_PATTERNS = tuple((compile_path(each.path)[0], Needs(each.key.value)) for each in ROUTES)


class KeyCheck:
    """Does nothing while keys are off."""

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app, self._front = app, front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = self._front.keys
        needs = Needs.NONE if scope["type"] != "http" or keys is None else needs_of(scope["path"])
        if keys is None or needs is Needs.NONE:
            await self._app(scope, receive, send)
            return
        try:
            with let_in(keys, _presented(scope), needs):
                await self._app(scope, receive, send)
        except Unauthenticated as unknown:
            if _is_dashboard(scope["path"]):
                raise HttpRefusal(401, "invalid_api_key", str(unknown), {"www-authenticate": LOG_IN}) from None
            raise


def needs_of(path: str) -> Needs:
    """Of the route that starlette will find, by its own patterns: they also take a path with a newline behind it.

    One that is at no route tells strangers nothing, not even that.
    """
    found = _EXACT.get(path)
    if found is not None:
        return found
    return next((needs for pattern, needs in _PATTERNS if pattern.match(path)), Needs.API)


def _is_dashboard(path: str) -> bool:
    return path == "/" or path.startswith("/page/")


def _presented(scope: Scope) -> str | None:
    """A second header is no second try: both would have to be the same."""
    sent = {value for name, value in scope["headers"] if name == b"authorization"}
    if len(sent) != 1:
        return None
    header = sent.pop().decode("latin-1")
    if header[:6].lower() == "basic ":
        sites = {value for name, value in scope["headers"] if name == b"sec-fetch-site"}
        return _password(header[6:]) if sites and sites <= OWN_SITES else None
    return bearer(header)


def _password(credentials: str) -> str | None:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
