"""gRPC's side of the keys: every method of a server takes one, but the standard health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from common.net.interceptors import Context, Continuation, Method, around
from router.keys import KeyRing, Needs, bearer, let_in

NEEDS = {
    "/grpc.health.v1.Health/": Needs.NONE,
    "/baton.v1.Inference/": Needs.API,
    "/baton.v1.Fleet/Join": Needs.FLEET,
    "/baton.v1.Fleet/": Needs.ADMIN,
}


class KeyCheck(grpc.aio.ServerInterceptor):
    """Stands inside the catch-all, and outside what counts calls: a stranger's are not counted."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Method | None":
        method = await continuation(handler_call_details)
        needs = needs_of(handler_call_details.method)
        if method is None or needs is Needs.NONE:
            return method
        sent = {
            value for name, value in handler_call_details.invocation_metadata or () if name.lower() == "authorization"
        }
        header = sent.pop() if len(sent) == 1 else ""
        presented = bearer(header if isinstance(header, str) else "")

        @asynccontextmanager
        async def guard(context: Context) -> AsyncIterator[None]:
            with let_in(self._keys, presented, needs):
                yield

        return around(method, guard)


def needs_of(method: str) -> Needs:
    """What has no line of its own, such as reflection, takes a client's key."""
    return next((needs for prefix, needs in NEEDS.items() if method.startswith(prefix)), Needs.API)
