"""The chunks of a streamed /v1/chat/completions. Knows nothing of HTTP."""

import time
from collections.abc import Sequence
from typing import Any

from common.types.sampling import TokenLogprobs
from router.answer import Delta
from router.answer_reader import AnswerReader
from router.http.chat_parts import delta_of, finish_of
from router.http.chat_shape import CHUNK_KIND, PREFIX
from router.http.ending import Ending
from router.http.frames import Frames, identity
from router.http.logprobs import of_chat, prompt_scores
from router.http.schema.chat import ChatBody
from router.reading import Reading
from router.relay import Scores
from router.served_model import ServedModel
from router.serving import Accepted, Message
from router.timeline import Summary


class ChatStream:
    """`take` every message; it returns whole events, or nothing yet."""

    __slots__ = (
        "_begun",
        "_body",
        "_direct",
        "_ending",
        "_frames",
        "_held",
        "_model",
        "_num_scores",
        "_plain",
        "_readers",
        "_scores",
        "_token_ids",
        "_with_usage",
    )

    def __init__(self, body: ChatBody, reading: Reading, token_ids: Sequence[int], model: ServedModel) -> None:
        self._body, self._token_ids, self._model = body, token_ids, model
        self._plain = reading.plain and not body.logprobs and not body.return_token_ids
        self._readers = [AnswerReader(reading, whole=False) for _ in range(body.n or 1)]
        options = body.stream_options
        self._with_usage = bool(options and options.include_usage)
        self._ending = Ending(1, body.n or 1, with_usage=self._with_usage)
        self._begun: set[int] = set()
        self._scores: list[TokenLogprobs] = []
        self._num_scores = 0
        self._direct = self._plain and body.prompt_logprobs is None
        self._held: list[Delta] | None = None if body.prompt_logprobs is None else []
        self._frames: Frames

    def take(self, place: int, messages: Sequence[Message]) -> bytes:
        first = messages[0]
        if self._direct and type(first) is Delta and len(messages) == 1:  # nearly all of them
            choice, text, _, _, finish = first
            if finish is None and choice in self._begun:
                return self._frames.of_text(choice, text).encode() if text else b""
        out: list[str] = []
        for message in messages:
            match message:
                case Delta():
                    if self._held is None:
                        self._delta(message, out)
                    else:
                        self._held.append(message)
                        self._release(out)
                case Scores(tokens):
                    self._scores.extend(tokens)
                    self._release(out)
                case Accepted():
                    self._open(message)
                case Summary():
                    num_reasoning = sum(reader.num_reasoning_tokens for reader in self._readers)
                    out.append(self._ending.summed(message, self._frames, num_reasoning))
        return "".join(out).encode("ascii")

    def _release(self, out: list[str]) -> None:
        """What was held back until the prompt's scores were complete: the first chunk tells them."""
        if self._held is None or not self._held or len(self._scores) < self._num_scores:
            return
        held, self._held = self._held, None
        for delta in held:
            self._delta(delta, out)

    def _open(self, accepted: Accepted) -> None:
        self._num_scores = accepted.num_prompt_tokens - 1
        said = identity(PREFIX, CHUNK_KIND, accepted, self._model, int(time.time()))
        if self._body.service_tier is not None:
            said["service_tier"] = "default"
        after = '},"logprobs":null,"finish_reason":null}'
        self._frames = Frames(said, with_usage=self._with_usage, before='"delta":{"content":', after=after)

    def _delta(self, delta: Delta, out: list[str]) -> None:
        index = delta.choice
        if index not in self._begun:
            self._begun.add(index)
            out.append(self._first(index))
        if not self._plain:
            self._read(delta, out)
        elif delta.text:
            out.append(self._frames.of_text(index, delta.text))
        if delta.finish is not None:
            finish = finish_of(delta.finish, called=self._readers[index].called)
            out.append(self._ending.finished(_chunk(index, {}, finish), self._frames))

    def _first(self, index: int) -> str:
        """Who speaks. What is told of the prompt goes with the stream's first chunk, its ids with each choice's."""
        more: dict[str, Any] = {}
        if self._body.return_token_ids:
            more["prompt_token_ids"] = list(self._token_ids)
        if self._body.prompt_logprobs is not None and len(self._begun) == 1:
            more["prompt_logprobs"] = prompt_scores(self._scores, self._model.names, self._body.prompt_logprobs)
        return self._frames.choice(_chunk(index, {"role": "assistant", "content": "", "refusal": None}), **more)

    def _read(self, delta: Delta, out: list[str]) -> None:
        """One chunk for each part; what is told of the tokens goes with the first, or with an empty one."""
        reader = self._readers[delta.choice]
        parts = reader.feed(delta.text, len(delta.token_ids))
        if delta.finish is not None:
            parts += reader.end()
        chunks = [_chunk(delta.choice, delta_of(part)) for part in parts]
        if self._body.logprobs or self._body.return_token_ids:
            chunks = chunks or [_chunk(delta.choice, {"content": ""})]
            self._detail(chunks[0], delta)
        out.extend(self._frames.choice(chunk) for chunk in chunks)

    def _detail(self, chunk: dict[str, Any], delta: Delta) -> None:
        if self._body.logprobs:
            chunk["logprobs"] = {"content": of_chat(delta.logprobs, self._model.names), "refusal": None}
        if self._body.return_token_ids:
            chunk["token_ids"] = list(delta.token_ids)


def _chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
