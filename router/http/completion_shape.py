"""What /v1/completions answers as a whole: one `text_completion`. Knows nothing of HTTP."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from router.http.frames import identity
from router.http.gathered import Choice, Gathered
from router.http.logprobs import CompletionLogprobs, prompt_scores
from router.http.schema.completion import CompletionBody
from router.http.usage import timings_of, usage_of
from router.served_model import ServedModel

KIND, PREFIX = "text_completion", "cmpl-"


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt as the answer shows it; both parts are empty where it does not."""

    text: str = ""
    token_ids: tuple[int, ...] = ()


def whole(
    body: CompletionBody, prompted: Sequence[Prompted], model: ServedModel, gathered: Sequence[Gathered]
) -> dict[str, Any]:
    """Choices in the order of their prompts."""
    first, summaries = gathered[0].accepted, [each.summary for each in gathered if each.summary is not None]
    if first is None or len(summaries) != len(gathered):
        raise RuntimeError("an answer ended without its first or its last word")
    choices = [
        _choice(body, prompted[place], model, each, choice)
        for place, each in enumerate(gathered)
        for choice in each.choices
    ]
    hidden = len(choices) if body.max_tokens == 0 else 0
    return {
        **identity(PREFIX, KIND, first, model, int(time.time())),
        "choices": [{"index": index, **choice} for index, choice in enumerate(choices)],
        "usage": usage_of(summaries, num_hidden_tokens=hidden),
        "timings": timings_of(summaries),
    }


def _choice(
    body: CompletionBody, prompt: Prompted, model: ServedModel, gathered: Gathered, choice: Choice
) -> dict[str, Any]:
    finish = None if choice.finish is None else choice.finish.value
    if body.max_tokens == 0:
        choice, finish = Choice(), "length"
    shown: dict[str, Any] = {
        "text": (prompt.text if body.echo else "") + choice.text,
        "logprobs": _logprobs(body, prompt, model, gathered, choice),
        "finish_reason": finish,
    }
    if body.return_token_ids:
        shown["prompt_token_ids"], shown["token_ids"] = list(prompt.token_ids), choice.token_ids
    if body.prompt_logprobs is not None:
        shown["prompt_logprobs"] = prompt_scores(gathered.scores, model.names, body.prompt_logprobs)
    return shown


def _logprobs(
    body: CompletionBody, prompt: Prompted, model: ServedModel, gathered: Gathered, choice: Choice
) -> dict[str, Any] | None:
    if body.logprobs is None:
        return None
    lists = CompletionLogprobs(model.names, body.logprobs)
    echoed = lists.prompt(prompt.token_ids, gathered.scores) if body.echo else None
    answered = lists.answer(choice.logprobs)
    return answered if echoed is None else {name: echoed[name] + answered[name] for name in echoed}
