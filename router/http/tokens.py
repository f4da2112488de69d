"""/tokenize and /detokenize: the served model's tokenizer and chat template, without computing anything."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from common.types.errors import invalid
from router.ask import Prompt
from router.http.asks import conversation
from router.http.body import read_object
from router.http.front import front_of
from router.http.schema.strict import read
from router.http.schema.tokens import DetokenizeBody, TokenizeBody


async def tokenize(request: Request) -> Response:
    front = front_of(request)
    body = read(TokenizeBody, await read_object(request, front))
    serving = front.serving
    serving.check_model(body.model)
    special = True if body.add_special_tokens is None else body.add_special_tokens
    token_ids = await serving.token_ids(_prompt(body), add_special_tokens=special)
    shown: dict[str, Any] = {
        "count": len(token_ids),
        "max_model_len": serving.max_model_tokens,
        "tokens": list(token_ids),
    }
    if body.return_token_strs:
        shown["token_strs"] = [serving.model.names.text(token_id) for token_id in token_ids]
    return JSONResponse(shown)


async def detokenize(request: Request) -> Response:
    front = front_of(request)
    body = read(DetokenizeBody, await read_object(request, front))
    serving = front.serving
    serving.check_model(body.model)
    model = serving.model
    if body.tokens and max(body.tokens) >= model.vocab_size:
        raise invalid("tokens", f"must be below the vocabulary's size of {model.vocab_size}")
    text = await asyncio.to_thread(model.tokenizer.decode, body.tokens, bool(body.skip_special_tokens))
    return JSONResponse({"prompt": text})


def _prompt(body: TokenizeBody) -> Prompt:
    if (body.prompt is None) == (body.messages is None):
        raise invalid("prompt", "or messages must be set, and not both")
    if body.messages is None:
        if body.tools is not None:
            raise invalid("tools", "go with messages")
        return body.prompt or ""
    opens = True if body.add_generation_prompt is None else body.add_generation_prompt
    return conversation(body.messages, tuple(body.tools or ()), opens=opens)
