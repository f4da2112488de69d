"""Lets nobody in without the key that a route takes; what is at no route takes one too. Sits inside the catch-all."""

from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from router.http.front import Front
from router.http.routes import ROUTES
from router.keys import Needs, bearer, let_in

_EXACT = {each.path: Needs(each.key.value) for each in ROUTES if "{" not in each.path}
_PATTERNS = tuple((compile_path(each.path)[0], Needs(each.key.value)) for each in ROUTES if "{" in each.path)


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
        with let_in(keys, _presented(scope), needs):
            await self._app(scope, receive, send)


def needs_of(path: str) -> Needs:
    """By the whole path only. One that is at no route tells strangers nothing, not even that."""
    found = _EXACT.get(path)
    if found is not None:
        return found
    return next((needs for pattern, needs in _PATTERNS if pattern.fullmatch(path)), Needs.API)


def _presented(scope: Scope) -> str | None:
    """A second header is no second try: both would have to be the same."""
    sent = {value for name, value in scope["headers"] if name == b"authorization"}
    return bearer(sent.pop().decode("latin-1")) if len(sent) == 1 else None
