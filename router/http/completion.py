"""/v1/completions: text or token ids in, the continuation out."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from router.ask import Ask
from router.http.asks import check_choices, completion_asks
from router.http.body import read_object
from router.http.completion_shape import Prompted, whole
from router.http.completion_stream import CompletionStream
from router.http.constraints import constraint_of
from router.http.front import front_of
from router.http.generation import Asked, Streamed, Whole
from router.http.schema.completion import CompletionBody
from router.http.schema.strict import read
from router.serving import Serving


async def completions(request: Request) -> Response:
    front = front_of(request)
    body = read(CompletionBody, await read_object(request, front))
    check_choices(body, front.config.max_choices)
    asks = completion_asks(body, front.config.http_limits.max_prompts)
    serving = front.serving
    serving.check_model(body.model)
    prompted, asks = await _tokenized(serving, body, asks)
    asked = Asked(asks, _names(body), body.user)
    if body.stream:
        return Streamed(front, asked, CompletionStream(body, prompted, serving.model))
    return Whole(front, asked, partial(whole, body, prompted, serving.model))


def _names(body: CompletionBody) -> dict[str, str]:
    """Of the fields that the serving knows by other names."""
    names = {"tokens": "prompt"}
    if body.echo and body.logprobs is not None:
        names["prompt_logprobs"] = "logprobs"
    constraint = constraint_of(body)
    if constraint is not None:
        names["constraint"] = constraint[0]
    return names


async def _tokenized(
    serving: Serving, body: CompletionBody, asks: Sequence[Ask]
) -> tuple[list[Prompted], tuple[Ask, ...]]:
    """Token ids where the answer has to show them, or where the tokenizer is to add nothing; else untouched."""
    special = True if body.add_special_tokens is None else body.add_special_tokens
    if not (body.echo or body.return_token_ids or not special):
        return [Prompted() for _ in asks], tuple(asks)
    prompted, tokenized = [], []
    for ask in asks:
        token_ids = await serving.token_ids(ask.prompt, add_special_tokens=special)
        text = ask.prompt if isinstance(ask.prompt, str) else serving.model.decoded(token_ids)
        prompted.append(Prompted(text, token_ids))
        tokenized.append(replace(ask, prompt=token_ids))
    return prompted, tuple(tokenized)
