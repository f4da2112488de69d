"""Which tokens each constrained row of a step may choose: worked out beside the forward pass, on a thread of its own.

Owns one guide per constrained choice, for exactly as long as it is sampled in every step. A mask that would be dear is
left to be made when its row turns out to need it: most rows want a token that they may have anyway. llguidance lets go
of the GIL while it computes. Knows nothing of logits.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from llguidance import LLExecutor

from common.engine.guide import Asking, Guide, Words
from common.engine.plan import SampleRow
from common.kernels.logits import RowMasks
from common.obs.cores import keep_to
from common.text.compiler import Compiler
from common.types.ids import AttemptId

Turn = tuple[Guide, SampleRow]
NUM_PROBES = 8


@dataclass(frozen=True, slots=True)
class StepMasks:
    """For each constrained row, in the order of the rows: a bit per token it may choose, or that it has failed."""

    words: npt.NDArray[np.int32]  # [C, words], the lowest bit first
    failed: npt.NDArray[np.bool_]  # [C]
    rows: tuple[int, ...] = ()  # [C] which row of the step it is
    left: frozenset[int] = frozenset()  # of these no mask has been made: `Masks.guide` and `Masks.make` are for them
    product: RowMasks | None = None  # for the step's last product: rows that need no logits but those allowed

    def part(self, places: Sequence[int]) -> "StepMasks":
        """Those of some rows, none of them left."""
        if len(places) == len(self.failed):
            return self
        return StepMasks(self.words[places], self.failed[places])


class Masks:
    """`begin` before the forward pass, `collect` after it, each once per step that has constrained rows.

    What `collect` returns is good until the next `begin`.
    """

    def __init__(
        self, compiler: Compiler, num_threads: int = 1, asking: Asking | None = None, cores: Sequence[int] = ()
    ) -> None:
        """With several threads cores are free, and no mask is too dear. Its thread runs on `cores`: started by an
        engine's thread, it would share that one's.
        """
        self._compiler = compiler
        self.end_ids = frozenset(compiler.vocabulary.end_ids)
        self.ordinary = compiler.vocabulary.ordinary
        self._asking = asking or Asking()
        texts = np.flatnonzero(self.ordinary)
        self._probes = [int(part[len(part) // 2]) for part in np.array_split(texts, NUM_PROBES) if len(part)]
        self._guides: dict[tuple[AttemptId, int], Guide] = {}
        self._matching = LLExecutor(num_threads) if num_threads > 1 else None
        self._beside = ThreadPoolExecutor(1, "masks", keep_to, (cores,))
        self._words: Words = np.zeros((0, compiler.vocabulary.num_words), dtype=np.uint32)
        self._turns: list[Turn] = []
        self._coming: Future[StepMasks] | None = None

    def begin(self, rows: Sequence[SampleRow], may_ask: bool = False) -> None:
        """Starts on the masks of a step. The rows' tokens must stay as they are until `collect`.

        None is left to be made later unless the caller may ask rows for tokens: that takes logits on the host.
        """
        turns = _moved_on(self._turns, [row for row in rows if row.sampling.constraint is not None])
        self._turns = self._gather(rows) if turns is None else turns
        self._coming = self._beside.submit(self._fill, rows, may_ask) if self._turns else None

    @property
    def coming(self) -> bool:
        """Whether any row of the step that was begun is constrained."""
        return self._coming is not None

    @property
    def early(self) -> StepMasks | None:
        """What `collect` will return, if that is known by now."""
        return self._coming.result() if self._coming is not None and self._coming.done() else None

    def collect(self) -> StepMasks:
        """Waits for what is left to do."""
        coming, self._coming = self._coming, None
        if coming is None:
            raise RuntimeError("masks were collected that nobody began")
        return coming.result()

    def guide(self, place: int) -> Guide:
        """That of a row which is left, to ask it for tokens; after `collect`."""
        return self._turns[place][0]

    def make(self, made: StepMasks, places: Sequence[int]) -> None:
        """Makes the masks of rows that were left; after `collect`."""
        self._complete(made.words.view(np.uint32), made.failed, places)

    def _gather(self, rows: Sequence[SampleRow]) -> list[Turn]:
        kept, self._guides = self._guides, {}
        turns: list[Turn] = []
        for row in rows:
            if row.sampling.constraint is not None:
                key = (row.id, row.choice)
                guide = kept.get(key)
                if guide is None or guide.num_followed > row.index or guide.sampling != row.sampling:
                    guide = Guide(row.sampling, self.end_ids, self._asking, len(turns))
                self._guides[key] = guide
                turns.append((guide, row))
        return turns

    def _fill(self, rows: Sequence[SampleRow], may_ask: bool) -> StepMasks:
        turns = self._turns
        if len(self._words) < len(turns):
            self._words = np.zeros((len(turns), self._words.shape[1]), dtype=np.uint32)
        words, failed = self._words[: len(turns)], np.zeros(len(turns), dtype=bool)
        left = frozenset(
            place
            for place, (guide, row) in enumerate(turns)
            if may_ask
            and row.sampling.bound
            and row.sampling.greedy
            and guide.would_be_asked
            and self._follow(place)
            and guide.can_be_asked(self._probes)
        )
        self._complete(words, failed, [place for place in range(len(turns)) if place not in left])
        of = tuple([at for at, row in enumerate(rows) if row.sampling.constraint is not None])
        masks = words.view(np.int32)
        return StepMasks(masks, failed, of, left, self._for_product(rows, of, masks, left))

    def _for_product(
        self, rows: Sequence[SampleRow], of: Sequence[int], words: npt.NDArray[np.int32], left: frozenset[int]
    ) -> RowMasks | None:
        """None where several choices share a row of the logits: their masks need not be the same."""
        if len({row.work for row in rows}) < len(rows):
            return None
        bound = [place for place, at in enumerate(of) if rows[at].sampling.bound and place not in left]
        if not bound:
            return None
        return RowMasks(np.array([of[place] for place in bound]), words if len(bound) == len(of) else words[bound])

    def _complete(self, words: Words, failed: npt.NDArray[np.bool_], places: Sequence[int]) -> None:
        lost = self._match(words, places)
        for place in lost:
            # copies of a matcher share what they have learnt, and that may be full: once more, all by itself
            guide, _ = self._turns[place]
            self._compiler.forget(guide.constraint)
            guide.begin_anew()
        if lost:
            failed[self._match(words, lost)] = True
        for place in places:
            guide, row = self._turns[place]
            guide.rule_out(words[place], row.index)

    def _match(self, words: Words, places: Sequence[int]) -> list[int]:
        """Fills the words of these places; returns those for which it could not be done."""
        ready = [place for place in places if self._follow(place)]
        if self._matching is None:
            for place in ready:
                self._turns[place][0].fill(words[place])
        elif ready:
            matchers = [(matcher, place) for place in ready if (matcher := self._turns[place][0].matcher) is not None]
            self._matching.unsafe_compute_mask_ptr(matchers, words.ctypes.data, words.strides[0], len(words))
        sound = {place for place in ready if self._turns[place][0].is_sound}
        return [place for place in places if place not in sound]

    def _follow(self, place: int) -> bool:
        guide, row = self._turns[place]
        return guide.follow(row, self._compiler)


def _moved_on(turns: list[Turn], rows: list[SampleRow]) -> list[Turn] | None:
    """The same choices a step later, without a look-up for each; None where others came or went."""
    if len(turns) != len(rows):
        return None
    for (guide, before), row in zip(turns, rows, strict=True):
        same = row.id is before.id and row.choice == before.choice and row.sampling is guide.sampling
        if not same or guide.num_followed > row.index:
            return None
    return [(guide, row) for (guide, _), row in zip(turns, rows, strict=True)]
