"""Roles on the planes between members: a certificate's name says which, and a table says who may call what.

A member's certificate names ROLE.baton among its subject's alternative names. Without fleet TLS none of this is asked.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from common.net.interceptors import Context, Continuation, Method, around
from common.net.tls import TlsFiles
from common.types.errors import Forbidden

DOMAIN = "baton"
ROUTER, PREFILL, DECODE, OPERATOR = "router", "prefill", "decode", "operator"
CALLERS: Mapping[str, frozenset[str]] = {
    "/baton.v1.Fleet/Join": frozenset({PREFILL, DECODE}),
    "/baton.v1.Fleet/": frozenset({OPERATOR, ROUTER}),
    "/baton.v1.Prefill/": frozenset({ROUTER}),
    "/baton.v1.Decode/": frozenset({ROUTER}),
    "/baton.v1.KVTransfer/": frozenset({DECODE}),
}
ANY_ROLE = frozenset({ROUTER, PREFILL, DECODE, OPERATOR})


def fleet_files(folder: str, role: str) -> TlsFiles:
    """A role's files in a folder: ca.pem, ROLE.pem and ROLE.key."""
    place = Path(folder)
    return TlsFiles(place / f"{role}.pem", place / f"{role}.key", place / "ca.pem")


def host_of(role: str) -> str:
    """The name that a role's certificate must have, whatever address it is at."""
    return f"{role}.{DOMAIN}"


def roles_of(context: "grpc.aio.ServicerContext[Any, Any]") -> frozenset[str]:
    """Roles the caller's certificate names; none when it showed no certificate."""
    shown = context.auth_context().get("x509_subject_alternative_name", ())
    names = (name.decode("ascii", "replace") for name in shown)
    return frozenset(name.removesuffix(f".{DOMAIN}") for name in names if name.endswith(f".{DOMAIN}"))


class PeerCheck(grpc.aio.ServerInterceptor):
    """Lets a method be called only by the roles that the table names for it."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Method | None":
        method = await continuation(handler_call_details)
        callers = callers_of(handler_call_details.method)

        @asynccontextmanager
        async def guard(context: Context) -> AsyncIterator[None]:
            if not roles_of(context) & callers:
                raise Forbidden("the caller's certificate names no role that may call this")
            yield

        return None if method is None else around(method, guard)


def callers_of(method: str) -> frozenset[str]:
    """What has no line of its own, such as health, any role may call."""
    return next((roles for prefix, roles in CALLERS.items() if method.startswith(prefix)), ANY_ROLE)
