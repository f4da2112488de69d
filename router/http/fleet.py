"""GET /fleet: the fleet as an operator looks at it, for the dashboard, `baton top` and scripts."""

import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.fleet import FleetView
from router.overview import overview
from router.serving import Serving


def fleet_endpoint(serving: Serving, fleet: FleetView) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        return JSONResponse(overview(serving, fleet, time.monotonic()), headers={"cache-control": "no-store"})

    return show
