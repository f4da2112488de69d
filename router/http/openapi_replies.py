"""What each route answers, in words and schemas: the half of the OpenAPI document that no model reads."""

from collections.abc import Mapping
from typing import Any


def _json(words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": [*required]}


TEXT, NUMBER, COUNT, YES = (
    {"type": "string"},
    {"type": "number"},
    {"type": "integer", "minimum": 0},
    {"type": "boolean"},
)
MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
ANY: dict[str, Any] = {}
_ANSWER = {
    "id": TEXT,
    "object": TEXT,
    "created": COUNT,
    "model": TEXT,
    "system_fingerprint": TEXT,
    "choices": {"type": "array", "items": {"type": "object"}},
    "usage": _ref("Usage"),
    "timings": _ref("Timings"),
}
SCHEMAS: Mapping[str, Any] = {
    "Error": _object(
        {"error": _object({"message": TEXT, "type": TEXT, "param": MAYBE_TEXT, "code": MAYBE_TEXT}, error_id=TEXT)}
    ),
    "Usage": _object(
        {
            "prompt_tokens": COUNT,
            "completion_tokens": COUNT,
            "total_tokens": COUNT,
            "prompt_tokens_details": _object({"cached_tokens": COUNT}),
            "completion_tokens_details": _object({"reasoning_tokens": COUNT}),
        }
    ),
    "Timings": _object(
        dict.fromkeys(("queue_ms", "prefill_ms", "handoff_ms", "decode_ms", "ttft_ms", "total_ms"), NUMBER)
    ),
    "Answer": _object(_ANSWER),
    "Model": _object(
        {"id": TEXT, "object": TEXT, "created": COUNT, "owned_by": TEXT, "max_model_len": COUNT, "ready": YES}
    ),
    "Ready": _object({"ready": YES, "phase": TEXT, "reason": TEXT}),
}
_GENERATED = {
    "200": {
        "description": "The answer; with `stream`, server-sent events that end with `[DONE]` or with an error.",
        "content": {"application/json": {"schema": _ref("Answer")}, "text/event-stream": {}},
    }
}
REPLIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "/v1/chat/completions": ("Answers a conversation.", _GENERATED),
    "/v1/completions": ("Continues text or token ids.", _GENERATED),
    "/v1/models": (
        "Lists what is served.",
        {"200": _json("One entry.", _object({"object": TEXT, "data": {"type": "array", "items": _ref("Model")}}))},
    ),
    "/v1/models/{model}": ("One served model.", {"200": _json("It.", _ref("Model"))}),
    "/tokenize": (
        "Text or a conversation to token ids.",
        {
            "200": _json(
                "The ids.",
                _object({"count": COUNT, "max_model_len": COUNT, "tokens": {"type": "array", "items": COUNT}}),
            )
        },
    ),
    "/detokenize": ("Token ids to text.", {"200": _json("The text.", _object({"prompt": TEXT}))}),
    "/health": ("Whether the process lives.", {"200": _json("It does.", _object({"status": TEXT}))}),
    "/ready": (
        "Whether a request that comes now has somewhere to go.",
        {"200": _json("It has.", _ref("Ready")), "503": _json("Not now; `reason` says why.", _ref("Ready"))},
    ),
    "/version": ("Which Baton this is.", {"200": _json("Its version.", _object({"version": TEXT, "protocol": COUNT}))}),
    "/openapi.json": ("This document.", {"200": _json("It.", {"type": "object"})}),
    "/metrics": (
        "Metrics as Prometheus reads them.",
        {"200": {"description": "The text format.", "content": {"text/plain": {"schema": TEXT}}}},
    ),
    "/fleet": ("Every member and what it does.", {"200": _json("The fleet.", {"type": "object"})}),
    "/": ("The dashboard.", {"200": {"description": "A page.", "content": {"text/html": {"schema": TEXT}}}}),
}
