"""The chunks of a streamed /v1/completions. Knows nothing of HTTP."""

import time
from collections.abc import Sequence
from typing import Any

from common.types.sampling import TokenLogprobs
from router.answer import Delta
from router.http.completion_shape import KIND, PREFIX, Prompted
from router.http.ending import Ending
from router.http.frames import Frames, identity
from router.http.logprobs import CompletionLogprobs, prompt_scores
from router.http.schema.completion import CompletionBody
from router.relay import Scores
from router.served_model import ServedModel
from router.serving import Accepted, Message
from router.timeline import Summary


class CompletionStream:
    """`take` every message; it returns whole events, or nothing yet."""

    __slots__ = (
        "_body",
        "_direct",
        "_ending",
        "_frames",
        "_held",
        "_hidden",
        "_logprobs",
        "_model",
        "_num_choices",
        "_num_scores",
        "_opened",
        "_plain",
        "_prompted",
        "_scores",
        "_shown",
        "_with_usage",
    )

    def __init__(self, body: CompletionBody, prompted: Sequence[Prompted], model: ServedModel) -> None:
        self._body, self._prompted, self._model = body, prompted, model
        self._num_choices = body.n or 1
        self._hidden = body.max_tokens == 0
        self._plain = body.logprobs is None and not body.return_token_ids and not self._hidden
        self._logprobs = [
            CompletionLogprobs(model.names, body.logprobs or 0) for _ in range(len(prompted) * self._num_choices)
        ]
        self._scores: list[list[TokenLogprobs]] = [[] for _ in prompted]
        tells = body.echo or body.prompt_logprobs is not None
        self._direct = self._plain and not tells
        self._held: dict[int, list[Delta]] = {place: [] for place in range(len(prompted))} if tells else {}
        self._num_scores = [0] * len(prompted)
        options = body.stream_options
        self._with_usage = bool(options and options.include_usage)
        hidden = len(self._logprobs) if self._hidden else 0
        self._ending = Ending(len(prompted), self._num_choices, with_usage=self._with_usage, num_hidden_tokens=hidden)
        self._shown: set[int] = set()
        self._opened = False
        self._frames: Frames

    def take(self, place: int, messages: Sequence[Message]) -> bytes:
        first = messages[0]
        if self._direct and type(first) is Delta and len(messages) == 1:  # nearly all of them
            choice, text, _, _, finish = first
            if finish is None:
                return self._frames.of_text(place * self._num_choices + choice, text).encode() if text else b""
        out: list[str] = []
        for message in messages:
            match message:
                case Delta() if place in self._held:
                    self._held[place].append(message)
                    self._begin(place, out)
                case Delta():
                    self._delta(place, message, out)
                case Scores(tokens):
                    self._scores[place].extend(tokens)
                    self._begin(place, out)
                case Accepted():
                    self._num_scores[place] = message.num_prompt_tokens - 1
                    self._open(message)
                case Summary():
                    out.append(self._ending.summed(message, self._frames))
        return "".join(out).encode("ascii")

    def _open(self, accepted: Accepted) -> None:
        if not self._opened:
            self._opened = True
            said = identity(PREFIX, KIND, accepted, self._model, int(time.time()))
            after = ',"logprobs":null,"finish_reason":null}'
            self._frames = Frames(said, with_usage=self._with_usage, before='"text":', after=after)

    def _delta(self, place: int, delta: Delta, out: list[str]) -> None:
        index = place * self._num_choices + delta.choice
        if self._plain:
            if delta.text:
                out.append(self._frames.of_text(index, delta.text))
        elif not self._hidden:
            out.append(self._frames.choice(self._choice(place, index, delta)))
        if delta.finish is not None:
            finish = "length" if self._hidden else delta.finish.value
            last = {"index": index, "text": "", "logprobs": None, "finish_reason": finish}
            out.append(self._ending.finished(last, self._frames))

    def _choice(self, place: int, index: int, delta: Delta) -> dict[str, Any]:
        logprobs = self._logprobs[index].answer(delta.logprobs) if self._body.logprobs is not None else None
        return self._chunk(place, index, delta.text, logprobs, delta.token_ids)

    def _chunk(
        self, place: int, index: int, text: str, logprobs: dict[str, Any] | None, token_ids: Sequence[int]
    ) -> dict[str, Any]:
        chunk: dict[str, Any] = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}
        if self._body.return_token_ids:
            if index not in self._shown:
                self._shown.add(index)
                chunk["prompt_token_ids"] = list(self._prompted[place].token_ids)
            chunk["token_ids"] = list(token_ids)
        return chunk

    def _begin(self, place: int, out: list[str]) -> None:
        """What is told of the prompt, once its scores are complete where they are shown; then what was held back."""
        body, scores = self._body, self._scores[place]
        scored, listed = body.echo and body.logprobs is not None, body.prompt_logprobs
        if place not in self._held or ((scored or listed is not None) and len(scores) < self._num_scores[place]):
            return
        prompt = self._prompted[place]
        for index in range(place * self._num_choices, (place + 1) * self._num_choices):
            logprobs = self._logprobs[index].prompt(prompt.token_ids, scores) if scored else None
            chunk = self._chunk(place, index, prompt.text if body.echo else "", logprobs, ())
            if listed is not None:
                chunk["prompt_logprobs"] = prompt_scores(scores, self._model.names, listed)
            out.append(self._frames.choice(chunk))
        for delta in self._held.pop(place):
            self._delta(place, delta, out)
