"""Rows that want a token their constraint allows, and nothing else; mostly the best one.

Owns the three ways to that, of which a row takes the first that it can: found in the model's last product, where its
mask was ready before that began; asked for token by token, best first, where the mask would be dear; looked for in a
masked copy of its logits. All three find the same token. Knows nothing of penalties and of drawing.
"""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.engine.plan import SampleRow
from common.kernels.logits import Logits, RowMasks
from common.kernels.reference.gumbel import Float32s

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks, StepMasks

NUM_WISHES = 6
"""A row that may have none of its best so many tokens wants something else than its constraint: a mask is cheaper."""

Tokens = dict[int, int | None]


class BestAllowed:
    """`masks` between a step's forward pass and its logits, `tokens` after them."""

    def __init__(self, masks: "Masks") -> None:
        self._masks = masks
        self._used: RowMasks | None = None
        self._rest: Float32s = np.empty(0, dtype=np.float32)

    def masks(self) -> RowMasks | None:
        """Those that are ready in time; with them the logits of a row are what it may choose from."""
        made = self._masks.early
        self._used = None if made is None else made.product
        return self._used

    @property
    def masked(self) -> frozenset[int]:
        """The rows whose logits are under their masks."""
        return frozenset() if self._used is None else frozenset(self._used.rows.tolist())

    def tokens(self, ranked: Logits, places: Sequence[int], rows: Sequence[SampleRow], made: "StepMasks") -> Tokens:
        """The token of each row that wants the best one; None where there is nothing to choose."""
        best, fine = ranked.best.tolist(), [isfinite(peak) for peak in ranked.peaks.tolist()]
        found = self.masked
        tokens: Tokens = {}
        unmade: list[int] = []
        rest: list[int] = []
        for at, (row, failed) in enumerate(zip(made.rows, made.failed.tolist(), strict=True)):
            if not (rows[row].sampling.bound and rows[row].sampling.greedy):
                continue
            place = places[row]
            tokens[row] = best[place] if fine[place] and not failed else None
            if row in found or tokens[row] is None:
                continue
            if at in made.left:
                tokens[row] = self._ask(at, ranked, place, rows[row].index)
                if tokens[row] is not None:
                    continue
                unmade.append(at)
            rest.append(at)
        if unmade:
            self._masks.make(made, unmade)
        if rest:
            tokens |= _from_copies(ranked, places, made, rest)
        return tokens

    def _ask(self, at: int, ranked: Logits, place: int, index: int) -> int | None:
        guide, token = self._masks.guide(at), int(ranked.best[place])
        for num_refused in range(NUM_WISHES):
            if not self._masks.ordinary[token]:
                break
            if guide.allows(token, index):
                guide.note_asked(in_vain=False)
                return token
            if not num_refused:
                self._rest = _copy(ranked.values[place], self._rest)
            self._rest[token] = -np.inf
            token = int(self._rest.argmax())
        guide.note_asked(in_vain=True)
        return None


def _copy(row: torch.Tensor, into: Float32s) -> Float32s:
    """In the same memory every time: what is new has to be paged in first, which takes longer than to copy."""
    if len(into) != len(row):
        into = np.empty(len(row), dtype=np.float32)
    np.copyto(into, row.cpu().numpy())
    return into


def _from_copies(ranked: Logits, places: Sequence[int], made: "StepMasks", ats: list[int]) -> Tokens:
    values = ranked.values[[places[made.rows[at]] for at in ats]]
    under = Logits.of(values, RowMasks(np.arange(len(ats)), made.words[ats]))
    return {
        made.rows[at]: token if isfinite(peak) and not made.failed[at] else None
        for at, token, peak in zip(ats, under.best.tolist(), under.peaks.tolist(), strict=True)
    }
