"""GET /metrics: the whole fleet in one scrape, in the format the scraper asks for."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from common.obs.exposition import render
from router.fleet import FleetView
from router.scrape import scrape
from router.serving import Serving


def metrics_endpoint(serving: Serving, fleet: FleetView) -> Callable[[Request], Awaitable[Response]]:
    async def metrics(request: Request) -> Response:
        text, content_type = render(scrape(serving, fleet), request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    return metrics
