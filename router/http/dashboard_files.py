"""The page on which an operator sees the fleet, and the files it is made of. Read once; all of it comes from here.

Where keys are on, a browser is asked for one as the password of a log-in: see `keys.py`.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from router.http.refusal import HttpRefusal

FOLDER = Path(__file__).parent / "dashboard"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


async def show_dashboard(request: Request) -> Response:
    return _response("index.html")


async def show_file(request: Request) -> Response:
    return _response(request.path_params["name"])


def _response(name: str) -> Response:
    content = _files().get(name)
    if content is None:
        raise HttpRefusal(404, "not_found", "there is nothing at this path")
    return Response(content, headers=HEADERS, media_type=TYPES[Path(name).suffix])


@functools.cache
def _files() -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
