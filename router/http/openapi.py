"""The OpenAPI document, made from the table of routes and the models that read the bodies."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from router.http.openapi_replies import REPLIES, SCHEMAS
from router.http.pieces import dumped
from router.http.schema.chat import ChatBody
from router.http.schema.completion import CompletionBody
from router.http.schema.strict import Strict
from router.http.schema.tokens import DetokenizeBody, TokenizeBody

REF = "#/components/schemas/{model}"
BODIES: Mapping[str, type[Strict]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/tokenize": TokenizeBody,
    "/detokenize": DetokenizeBody,
}
REFUSALS = {"400": "A field is wrong; `param` names it.", "413": "The body is too large.", "415": "It is not JSON."}
OVERLOADS = {"429": "Over capacity.", "503": "Nobody is there to compute it.", "504": "The deadline passed."}
KEYED = {"401": "The key is missing or wrong.", "403": "The key may not do this."}


async def show_openapi(request: Request) -> Response:
    return Response(_text(), media_type="application/json")


@cache
def _text() -> str:
    return dumped(document())


def document() -> dict[str, Any]:
    """All of it. The routes import this module's endpoint, so it looks at them late."""
    from router.http.routes import ROUTES, Key

    schemas: dict[str, Any] = {**SCHEMAS}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        path = route.path.replace(":path}", "}")
        operation = _operation(path, route.key is not Key.NONE, schemas)
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Baton", "version": "1", "description": "The OpenAI dialect over two pools."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, keyed: bool, schemas: dict[str, Any]) -> dict[str, Any]:
    about, replies = REPLIES.get(path, ("", {"200": "Well."}))
    body = BODIES.get(path)
    errors = KEYED if keyed else {}
    operation: dict[str, Any] = {"summary": about, "operationId": path.strip("/").replace("/", "_") or "root"}
    if "{" in path:
        name = path[path.index("{") + 1 : path.index("}")]
        text = {"type": "string", "minLength": 1}
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": text}]
        errors = {**errors, "404": "There is no such thing."}
    if path.startswith("/v1/models"):
        errors = {**errors, "503": OVERLOADS["503"]}
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(body, schemas)}},
        }
        errors = {**errors, **REFUSALS, **OVERLOADS, "404": "That model is not served.", "408": "It took too long."}
    error = {"application/json": {"schema": {"$ref": REF.format(model="Error")}}}
    operation["responses"] = {**replies} | {
        status: {"description": words, "content": error} for status, words in sorted(errors.items())
    }
    if keyed:
        operation["security"] = [{}, {"key": []}]
    return operation


def _schema(body: type[Strict], schemas: dict[str, Any]) -> dict[str, Any]:
    """The body's own, with the models inside it among the components."""
    made = body.model_json_schema(ref_template=REF, by_alias=True)
    schemas.update(made.pop("$defs", {}))
    schemas[body.__name__] = made
    return {"$ref": REF.format(model=body.__name__)}
