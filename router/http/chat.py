"""/v1/chat/completions: a conversation in, the assistant's turn out."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from router.http.asks import chat_ask, check_choices, offer_of
from router.http.body import read_object
from router.http.chat_shape import whole
from router.http.chat_stream import ChatStream
from router.http.constraints import constraint_of
from router.http.front import front_of
from router.http.generation import Asked, Streamed, Whole
from router.http.schema.chat import ChatBody
from router.http.schema.strict import read
from router.reading import read_apart


async def chat_completions(request: Request) -> Response:
    front = front_of(request)
    body = read(ChatBody, await read_object(request, front))
    check_choices(body, front.config.max_choices)
    serving = front.serving
    serving.check_model(body.model)
    ask, model = chat_ask(body, serving.model.chat), serving.model
    chat = await read_apart(serving, ask, offer_of(body), shows_prompt=bool(body.return_token_ids))
    user = body.user if body.user is not None else body.safety_identifier
    asked = Asked((chat.ask,), _names(body), user)
    if body.stream:
        return Streamed(front, asked, ChatStream(body, chat.reading, chat.token_ids, model))
    return Whole(front, asked, partial(whole, body, chat.reading, chat.token_ids, model))


def _names(body: ChatBody) -> dict[str, str]:
    """Of the fields that the serving knows by other names."""
    names = {"logprobs": "top_logprobs", "prompt": "messages", "tokens": "messages"}
    if body.max_completion_tokens is not None:
        names["max_tokens"] = "max_completion_tokens"
    constraint = constraint_of(body)
    names["constraint"] = "tools" if constraint is None else constraint[0]
    return names
