"""/v1/models: what is served, whether or not anyone is there to compute it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.http.front import Front, front_of


async def list_models(request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_model(front_of(request))]})


async def get_model(request: Request) -> Response:
    front = front_of(request)
    front.serving.check_model(request.path_params["model"])
    return JSONResponse(_model(front))


def _model(front: Front) -> dict[str, Any]:
    serving = front.serving
    return {
        "id": serving.model.id,
        "object": "model",
        "created": front.began_at,
        "owned_by": "baton",
        "max_model_len": serving.max_model_tokens,
        "vocab_size": serving.model.vocab_size,
        "architecture": serving.model.architecture,
        "ready": serving.ready,
    }
