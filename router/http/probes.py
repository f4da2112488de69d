"""/health, /ready and /version: for whoever keeps this process running, answered from the first moment."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from common.types.ids import PROTOCOL_MAJOR, Role
from router.http.front import Front, front_of

RETRY_S = "1"


async def health(request: Request) -> Response:
    """Live: the loop turns."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 while a request that comes now has somewhere to go; else 503 and what is missing."""
    front = front_of(request)
    state = readiness(front)
    if state["ready"]:
        return JSONResponse(state)
    return JSONResponse(state, status_code=503, headers={"retry-after": RETRY_S})


def readiness(front: Front) -> dict[str, Any]:
    if front.opened is None or front.fleet is None:
        return {"ready": False, "phase": "starting", "reason": front.phase}
    members = [each for each in front.fleet.members() if not each.draining]
    counts = {role.value: sum(each.hello.role is role for each in members) for role in Role}
    if front.opened.ready:
        return {"ready": True, "phase": "serving", "reason": "", "members": counts}
    if front.opened.draining:
        return {"ready": False, "phase": "draining", "reason": "this router is draining", "members": counts}
    return {"ready": False, "phase": "waiting", "reason": front.fleet.why_no_decode(), "members": counts}


async def show_version(request: Request) -> Response:
    try:
        own = version("baton")
    except PackageNotFoundError:
        own = "unknown"
    return JSONResponse({"version": own, "protocol": PROTOCOL_MAJOR})
