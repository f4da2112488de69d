"""The text of one choice: incremental characters, stop strings, and what each token added. Survives attempts.

Knows nothing of clients; the same tokens give the same text however many attempts they took.
"""

from dataclasses import dataclass

from common.text.detokenize import Detokenizer
from common.text.stop import StopStrings
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token added: the text that became certain with it."""

    token_id: int
    text: str
    logprobs: TokenLogprobs | None
    finish: FinishReason | None


class Answer:
    """One choice from its first token to its last."""

    def __init__(self, detokenizer: Detokenizer, stop: tuple[str, ...], min_tokens: int) -> None:
        self._detokenizer = detokenizer
        self._stop = StopStrings(stop)
        self._min_tokens = min_tokens

    def add(self, token: SampledToken) -> Piece:
        """Its finish is STOP too when the text reached a stop string; then no more tokens may be added.

        A token that stops the answer is no part of its text, and text before `min_tokens` cannot stop it.
        """
        text = "" if token.finish is FinishReason.STOP else self._detokenizer.feed((token.token_id,))
        if token.finish is not None:
            text += self._detokenizer.flush()
        stopped = False
        if token.index >= self._min_tokens:
            text, stopped = self._stop.feed(text)
        if token.finish is not None:
            text += self._stop.flush()
        finish = FinishReason.STOP if stopped else token.finish
        return Piece(token.token_id, text, token.logprobs, finish)
