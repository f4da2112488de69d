"""The text of one choice: incremental characters, stop strings, and what each token added. Survives attempts.

Knows nothing of clients; the same tokens give the same text however many attempts they took.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from common.text.detokenize import Detokenizer
from common.text.stop import StopStrings
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs


class Delta(NamedTuple):
    """New tokens of one choice, and the text that became certain with them."""

    choice: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...]
    finish: FinishReason | None


_delta: Callable[[tuple[object, ...]], Delta] = partial(tuple.__new__, Delta)
"""Without the named tuple's own constructor, which is a function of Python's: this runs for each token."""


class Answer:
    """One choice from its first token to its last."""

    __slots__ = ("_detokenizer", "_min_tokens", "_stop")

    def __init__(self, detokenizer: Detokenizer, stop: tuple[str, ...], min_tokens: int) -> None:
        self._detokenizer = detokenizer
        self._stop = StopStrings(stop) if stop else None
        self._min_tokens = min_tokens

    def add(self, token: SampledToken) -> Delta:
        """Its finish is STOP too when the text reached a stop string; then no more tokens may be added.

        A token that stops the answer is no part of its text, and text before `min_tokens` cannot stop it.
        """
        choice, _, token_id, scores, finish = token
        token_ids = (token_id,)
        if finish is None:
            text = self._detokenizer.feed(token_ids)
        else:
            text = "" if finish is FinishReason.STOP else self._detokenizer.feed(token_ids)
            text += self._detokenizer.flush()
        if self._stop is not None:
            text, finish = self._read(self._stop, text, token)
        logprobs = () if scores is None else (scores,)
        return _delta((choice, text, token_ids, logprobs, finish))

    def _read(self, stop: StopStrings, text: str, token: SampledToken) -> tuple[str, FinishReason | None]:
        stopped = False
        if token.index >= self._min_tokens:
            text, stopped = stop.feed(text)
        if token.finish is not None:
            text += stop.flush()
        return text, FinishReason.STOP if stopped else token.finish


def joined(deltas: list[Delta]) -> Delta:
    """Several of one choice, in order, as one."""
    if len(deltas) == 1:
        return deltas[0]
    return Delta(
        choice=deltas[0].choice,
        text="".join(delta.text for delta in deltas),
        token_ids=tuple(token_id for delta in deltas for token_id in delta.token_ids),
        logprobs=tuple(logprobs for delta in deltas for logprobs in delta.logprobs),
        finish=deltas[-1].finish,
    )
