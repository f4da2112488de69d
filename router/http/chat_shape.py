"""What /v1/chat/completions answers as a whole: one `chat.completion`. Knows nothing of HTTP."""

import time
from collections.abc import Sequence
from typing import Any

from router.answer_reader import AnswerReader
from router.http.chat_parts import finish_of, message_of
from router.http.frames import identity
from router.http.gathered import Choice, Gathered
from router.http.logprobs import of_chat, prompt_scores
from router.http.schema.chat import ChatBody
from router.http.usage import timings_of, usage_of
from router.reading import Reading
from router.served_model import ServedModel

KIND, CHUNK_KIND, PREFIX = "chat.completion", "chat.completion.chunk", "chatcmpl-"


def whole(
    body: ChatBody, reading: Reading, token_ids: Sequence[int], model: ServedModel, gathered: Sequence[Gathered]
) -> dict[str, Any]:
    """`token_ids` are the prompt's, where they are shown."""
    (only,) = gathered
    if only.accepted is None or only.summary is None:
        raise RuntimeError("an answer ended without its first or its last word")
    readers = [AnswerReader(reading, whole=True) for _ in only.choices]
    shown = {
        **identity(PREFIX, KIND, only.accepted, model, int(time.time())),
        "choices": [
            {"index": index, **_choice(body, model, choice, reader)}
            for index, (choice, reader) in enumerate(zip(only.choices, readers, strict=True))
        ],
        "usage": usage_of([only.summary], num_reasoning_tokens=sum(each.num_reasoning_tokens for each in readers)),
        "timings": timings_of([only.summary]),
    }
    if body.service_tier is not None:
        shown["service_tier"] = "default"
    if body.return_token_ids:
        shown["prompt_token_ids"] = list(token_ids)
    if body.prompt_logprobs is not None:
        shown["prompt_logprobs"] = prompt_scores(only.scores, model.names, body.prompt_logprobs)
    return shown


def _choice(body: ChatBody, model: ServedModel, choice: Choice, reader: AnswerReader) -> dict[str, Any]:
    parts = [part for delta in choice.deltas for part in reader.feed(delta.text, len(delta.token_ids))]
    message = message_of([*parts, *reader.end()])
    logprobs = {"content": of_chat(choice.logprobs, model.names), "refusal": None} if body.logprobs else None
    shown: dict[str, Any] = {
        "message": message,
        "logprobs": logprobs,
        "finish_reason": finish_of(choice.finish, called=reader.called),
    }
    if body.return_token_ids:
        shown["token_ids"] = choice.token_ids
    return shown
