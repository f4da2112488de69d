"""One constrained choice on its way through its constraint.

Owns its matcher, what the request itself rules out (ends that are ignored, stops that would come too early), and what
its masks cost. Where no matcher is at hand, after a hand-off, a retry or a pause, the choice's output is replayed:
nothing of a matcher ever travels. Knows nothing of batches and of logits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from common.engine.plan import SampleRow
from common.text.compiler import Compiler
from common.types.errors import InvalidRequest
from common.types.sampling import Sampling

Words = npt.NDArray[np.uint32]

_SOUND = frozenset({"NotStopped", "NoExtension", "NoExtensionBias", "EndOfSentence"})


@dataclass(frozen=True, slots=True)
class Asking:
    """When a row is asked for the tokens it would like best, one by one, instead of getting a mask.

    Its last mask took more than `dear_s` of CPU time and had `broad` of all tokens. Who was asked in vain twice gets
    `num_masked` masks. After `num_asked` steps comes a mask, which shows what masks cost by now and gives the matcher
    the fuel of another step.
    """

    dear_s: float = 30e-6
    broad: float = 0.125
    num_masked: int = 16
    num_asked: int = 64


class Guide:
    """`num_followed` tokens of the choice's output have been told to the matcher."""

    def __init__(self, sampling: Sampling, end_ids: frozenset[int], asking: Asking, num_asked: int = 0) -> None:
        """Guides that begin together differ in `num_asked`, so that their masks do not all come in one step."""
        if sampling.constraint is None:
            raise ValueError("a row without a constraint needs no guide")
        self.sampling, self.constraint = sampling, sampling.constraint
        self.num_followed = 0
        self.matcher: LLMatcher | None = None
        stops = frozenset(sampling.stop_token_ids)
        self._ignored, self._too_early = end_ids - stops, end_ids | stops
        self._asking = asking
        self._is_dear = False
        self._num_asked, self._num_in_vain, self._num_to_mask = num_asked % max(asking.num_asked, 1), 0, 0

    def follow(self, row: SampleRow, compiler: Compiler) -> bool:
        """Tells the matcher all that the choice has said so far; False if it cannot have said that."""
        if self.matcher is None:
            try:
                self.matcher = compiler.begin(self.constraint)
            except InvalidRequest:
                return False
        fresh = list(row.tokens[row.num_prompt_tokens + self.num_followed :])
        if fresh and not self.matcher.consume_tokens(fresh):
            return False
        self.num_followed += len(fresh)
        return True

    def begin_anew(self) -> None:
        self.matcher, self.num_followed = None, 0

    def fill(self, words: Words) -> None:
        """Writes the mask and notes what it cost."""
        if self.matcher is None:
            raise RuntimeError("a mask was wanted of a choice that was not followed")
        began = time.thread_time()
        self.matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        self._is_dear = time.thread_time() - began > self._asking.dear_s
        if self._is_dear:
            self._is_dear = int(np.bitwise_count(words).sum()) >= self._asking.broad * 32 * len(words)
        self._num_asked, self._num_to_mask = 0, max(0, self._num_to_mask - 1)

    @property
    def is_sound(self) -> bool:
        """llguidance answers a failure with a mask that ends the text; it must not pass for the real end."""
        matcher = self.matcher
        if matcher is None or matcher.is_error():
            return False
        return not matcher.is_stopped() or matcher.stop_reason() in _SOUND

    @property
    def would_be_asked(self) -> bool:
        return self._is_dear and not self._num_to_mask and self._num_asked < self._asking.num_asked

    def can_be_asked(self, probes: Sequence[int]) -> bool:
        """Whether one of these tokens, picked from all over the vocabulary, could follow: few can where few tokens may.

        Not where the text goes on in one way only: of all tokens that agree with it a mask has the right one.
        """
        matcher = self.matcher
        if matcher is None or matcher.is_stopped() or matcher.compute_ff_bytes():
            return False
        return any(matcher.validate_tokens([token]) for token in probes)

    def allows(self, token: int, index: int) -> bool:
        """What the mask says of a token that stands for a text of its own; only where it can be asked."""
        if self.matcher is None or token in self._unwanted(index):
            return False
        return self.matcher.validate_tokens([token]) == 1

    def note_asked(self, in_vain: bool) -> None:
        """After the questions of a step."""
        self._num_asked += 1
        self._num_in_vain = self._num_in_vain + 1 if in_vain else 0
        if self._num_in_vain > 1:
            self._num_in_vain, self._num_to_mask = 0, self._asking.num_masked

    def rule_out(self, words: Words, index: int) -> None:
        """End tokens that are ignored, and stop tokens that would come too early, unless nothing else is left."""
        removed: list[tuple[int, np.uint32]] = []
        for token in self._unwanted(index):
            place, bit = token // 32, 1 << token % 32
            if 0 <= place < len(words) and int(words[place]) & bit:
                removed.append((place, np.uint32(bit)))
                words[place] ^= np.uint32(bit)
        if removed and not words.any():
            for place, word in removed:
                words[place] |= word

    def _unwanted(self, index: int) -> frozenset[int]:
        return self._too_early if index < self.sampling.min_tokens else self._ignored
