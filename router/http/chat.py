"""/v1/chat/completions: a conversation in, the assistant's turn out."""

from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from common.types.errors import invalid
from router.http.asks import chat_ask
from router.http.body import read_object
from router.http.chat_shape import whole
from router.http.chat_stream import ChatStream
from router.http.front import front_of
from router.http.generation import Streamed, Whole
from router.http.schema.chat import ChatBody
from router.http.schema.strict import read


async def chat_completions(request: Request) -> Response:
    front = front_of(request)
    body = read(ChatBody, await read_object(request, front.config.http_limits))
    if body.prompt_logprobs is not None and body.stream:
        raise invalid("prompt_logprobs", "cannot be streamed")
    serving = front.serving
    serving.check_model(body.model)
    ask = chat_ask(body, serving.model.chat)
    token_ids: tuple[int, ...] = ()
    if body.return_token_ids:
        token_ids = await serving.token_ids(ask.prompt)
        ask = replace(ask, prompt=token_ids)
    names = {"logprobs": "top_logprobs"}
    if body.max_completion_tokens is not None:
        names["max_tokens"] = "max_completion_tokens"
    if body.stream:
        return Streamed(front, (ask,), ChatStream(body, token_ids, serving.model), names)
    return Whole(front, (ask,), partial(whole, body, token_ids, serving.model), names)
