"""Which tokens each constrained row of a step may choose: worked out beside the forward pass, on a thread of its own.

Owns one matcher per constrained choice, for exactly as long as it is sampled in every step. Where none is at hand,
after a hand-off, a retry or a pause, the choice's output is replayed: nothing of a matcher ever travels. llguidance
lets go of the GIL while it computes. Knows nothing of logits.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from llguidance import LLExecutor, LLMatcher

from common.engine.plan import SampleRow
from common.text.compiler import Compiler
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest
from common.types.ids import AttemptId

Words = npt.NDArray[np.uint32]

_SOUND = frozenset({"NotStopped", "NoExtension", "NoExtensionBias", "EndOfSentence"})


@dataclass(slots=True)
class Guide:
    """One choice's place in its constraint: so many tokens of its output have been followed."""

    constraint: Constraint
    matcher: LLMatcher | None = None
    num_followed: int = 0


@dataclass(frozen=True, slots=True)
class StepMasks:
    """For each constrained row, in the order of the rows: a bit per token it may choose, or that it has failed."""

    words: npt.NDArray[np.int32]  # [C, words], the lowest bit first
    failed: npt.NDArray[np.bool_]  # [C]


class Masks:
    """`begin` before the forward pass, `collect` after it, each once per step that has constrained rows."""

    def __init__(self, compiler: Compiler, num_threads: int = 1) -> None:
        self._compiler = compiler
        self.end_ids = frozenset(compiler.vocabulary.end_ids)
        self._num_words = compiler.vocabulary.num_words
        self._guides: dict[tuple[AttemptId, int], Guide] = {}
        self._matching = LLExecutor(num_threads)
        self._beside = ThreadPoolExecutor(1, "masks")
        self._coming: Future[StepMasks] | None = None

    def begin(self, rows: Sequence[SampleRow]) -> None:
        """Starts on the masks of a step. The rows' tokens must stay as they are until `collect`."""
        kept, self._guides = self._guides, {}
        turns: list[tuple[Guide, SampleRow]] = []
        for row in rows:
            constraint = row.sampling.constraint
            if constraint is not None:
                key = (row.id, row.choice)
                guide = kept.get(key)
                if guide is None or guide.num_followed > row.index:
                    guide = Guide(constraint)
                self._guides[key] = guide
                turns.append((guide, row))
        self._coming = self._beside.submit(self._fill, turns) if turns else None

    def collect(self) -> StepMasks:
        """Waits for what is left to do."""
        coming, self._coming = self._coming, None
        if coming is None:
            raise RuntimeError("masks were collected that nobody began")
        return coming.result()

    def _fill(self, turns: list[tuple[Guide, SampleRow]]) -> StepMasks:
        words = np.zeros((len(turns), self._num_words), dtype=np.uint32)
        failed = self._match(turns, words, range(len(turns)))
        if failed:
            # copies of a matcher share what they have learnt, and that may be full: once more, all by itself
            for place in failed:
                guide, _ = turns[place]
                self._compiler.forget(guide.constraint)
                guide.matcher, guide.num_followed = None, 0
            failed = self._match(turns, words, failed)
        for place, (_, row) in enumerate(turns):
            self._rule_out(words[place], row)
        gone = np.zeros(len(turns), dtype=bool)
        gone[failed] = True
        gone |= ~words.any(axis=1)
        return StepMasks(words.view(np.int32), gone)

    def _match(self, turns: list[tuple[Guide, SampleRow]], words: Words, places: Sequence[int]) -> list[int]:
        """Fills the words of these places; returns those for which it could not be done."""
        ready: list[tuple[LLMatcher, int]] = []
        for place in places:
            matcher = self._follow(*turns[place])
            if matcher is not None:
                ready.append((matcher, place))
        if ready:
            self._matching.unsafe_compute_mask_ptr(ready, words.ctypes.data, 4 * self._num_words, len(words))
        sound = {place for matcher, place in ready if _is_sound(matcher)}
        return [place for place in places if place not in sound]

    def _follow(self, guide: Guide, row: SampleRow) -> LLMatcher | None:
        """The matcher after all that the choice has said so far; None if it cannot have said that."""
        if guide.matcher is None:
            try:
                guide.matcher = self._compiler.begin(guide.constraint)
            except InvalidRequest:
                return None
        fresh = list(row.tokens[row.num_prompt_tokens + guide.num_followed :])
        if fresh and not guide.matcher.consume_tokens(fresh):
            return None
        guide.num_followed += len(fresh)
        return guide.matcher

    def _rule_out(self, words: Words, row: SampleRow) -> None:
        """End tokens that are ignored, and stop tokens that would come too early, unless nothing else is left."""
        sampling = row.sampling
        unwanted = self.end_ids - set(sampling.stop_token_ids)
        if row.index < sampling.min_tokens:
            unwanted |= set(sampling.stop_token_ids)
        if not unwanted:
            return
        rest = words.copy()
        for token in unwanted:
            if 0 <= token < 32 * len(rest):
                rest[token // 32] &= ~np.uint32(1 << token % 32)
        if rest.any():
            words[:] = rest


def _is_sound(matcher: LLMatcher) -> bool:
    """llguidance answers a failure with a mask that ends the text; it must not pass for the real end."""
    return not matcher.is_error() and (not matcher.is_stopped() or matcher.stop_reason() in _SOUND)
