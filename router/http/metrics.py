"""GET /metrics: the router and its whole fleet in one scrape, in the format the scraper asks for."""

from starlette.requests import Request
from starlette.responses import Response

from common.obs.exposition import render
from router.http.front import front_of
from router.scrape import scrape


async def show_metrics(request: Request) -> Response:
    serving, fleet = front_of(request).opened_both()
    text, content_type = render(scrape(serving, fleet), request.headers.get("accept", ""))
    return Response(text, headers={"content-type": content_type})
