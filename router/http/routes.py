"""The one table of what is served over HTTP: path, method, endpoint, and the key it takes once keys are on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response

from router.http import chat, completion, dashboard_files, fleet, metrics, models, openapi, probes, tokens


class Key(Enum):
    """Whose key a route takes."""

    NONE = "none"
    API = "api"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Served:
    """One route. Path parameters stand in braces, as starlette writes them."""

    path: str
    method: str
    endpoint: Callable[[Request], Awaitable[Response]]
    key: Key


ROUTES = (
    Served("/v1/chat/completions", "POST", chat.chat_completions, Key.API),
    Served("/v1/completions", "POST", completion.completions, Key.API),
    Served("/v1/models", "GET", models.list_models, Key.API),
    Served("/v1/models/{model:path}", "GET", models.get_model, Key.API),
    Served("/tokenize", "POST", tokens.tokenize, Key.API),
    Served("/detokenize", "POST", tokens.detokenize, Key.API),
    Served("/health", "GET", probes.health, Key.NONE),
    Served("/ready", "GET", probes.ready, Key.NONE),
    Served("/version", "GET", probes.show_version, Key.API),
    Served("/openapi.json", "GET", openapi.show_openapi, Key.API),
    Served("/metrics", "GET", metrics.show_metrics, Key.ADMIN),
    Served("/fleet", "GET", fleet.show_fleet, Key.ADMIN),
    Served("/", "GET", dashboard_files.show_dashboard, Key.ADMIN),
    Served("/page/{name}", "GET", dashboard_files.show_file, Key.ADMIN),
)
