"""GET /fleet: the fleet as an operator looks at it, for the dashboard, `baton top` and scripts."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.http.front import front_of
from router.overview import overview


async def show_fleet(request: Request) -> Response:
    serving, fleet = front_of(request).opened_both()
    return JSONResponse(overview(serving, fleet, time.monotonic()), headers={"cache-control": "no-store"})
