"""Log probabilities in OpenAI's two shapes: a list of objects for chats, four parallel lists for completions."""

import math
from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from typing import Any

from common.text.token_bytes import TokenBytes
from common.types.sampling import TokenLogprobs

LOWEST = -9999.0
"""What OpenAI says of a token that cannot be; JSON has no minus infinity."""


def of_chat(tokens: Iterable[TokenLogprobs], names: TokenBytes) -> list[dict[str, Any]]:
    return [
        {**_named(token.token_id, token.logprob, names), "top_logprobs": [_named(*top, names) for top in token.top]}
        for token in tokens
    ]


def _named(token_id: int, logprob: float, names: TokenBytes) -> dict[str, Any]:
    return {"token": names.text(token_id), "logprob": finite(logprob), "bytes": list(names.bytes_of(token_id))}


class CompletionLogprobs:
    """Of one choice, token by token; `text_offset` counts characters from the beginning of the choice's text."""

    def __init__(self, names: TokenBytes, num_alternatives: int) -> None:
        self._names, self._num_alternatives = names, num_alternatives
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._offset = 0
        self._drops_space = False

    def prompt(self, token_ids: Sequence[int], scores: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """Of an echoed prompt: nothing precedes the first token, so it has no probability."""
        self._drops_space = self._names.drops_first_space
        return self._lists([None, *scores], token_ids)

    def answer(self, tokens: Sequence[TokenLogprobs]) -> dict[str, Any]:
        return self._lists(tokens, [token.token_id for token in tokens])

    def _lists(self, tokens: Sequence[TokenLogprobs | None], token_ids: Sequence[int]) -> dict[str, Any]:
        return {
            "tokens": [self._names.text(token_id) for token_id in token_ids],
            "token_logprobs": [None if token is None else finite(token.logprob) for token in tokens],
            "top_logprobs": [None if token is None else self._top(token) for token in tokens],
            "text_offset": [self._advance(token_id) for token_id in token_ids],
        }

    def _advance(self, token_id: int) -> int:
        """A token within a character begins where that character does; special ones are no part of the text."""
        offset = self._offset
        if not self._names.is_special(token_id):
            text = self._decode(self._names.bytes_of(token_id))
            if self._drops_space and text:
                self._drops_space = False
                text = text.removeprefix(" ")
            self._offset += len(text)
        return offset

    def _top(self, token: TokenLogprobs) -> dict[str, float]:
        """The best so many, and the token itself: up to one more."""
        best = token.top[: self._num_alternatives]
        top = {self._names.text(token_id): finite(logprob) for token_id, logprob in best}
        return {**top, self._names.text(token.token_id): finite(token.logprob)}


def finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else LOWEST


def prompt_scores(scores: Sequence[TokenLogprobs], names: TokenBytes, num_best: int) -> list[dict[str, Any] | None]:
    """The prompt's, as `prompt_logprobs`: for each token the best so many and itself, by id; none for the first."""
    return [None, *(_by_id(score, names, num_best) for score in scores)]


def _by_id(score: TokenLogprobs, names: TokenBytes, num_best: int) -> dict[str, Any]:
    of_each = {**dict(score.top[:num_best]), score.token_id: score.logprob}
    return {
        str(token_id): {"logprob": finite(logprob), "decoded_token": names.text(token_id)}
        for token_id, logprob in of_each.items()
    }
