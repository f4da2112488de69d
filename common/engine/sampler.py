"""Chooses the next token of every row of a step, and says how likely it was.

Owns the order: masks of constraints, bias, penalties, excluded tokens, then the best entry for greedy rows and a draw
for the others. Works on all rows together; only rows that ask for more cost more. Knows nothing of sequences' progress.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from common.engine.adjust import Adjuster, is_adjusted
from common.engine.best_allowed import BestAllowed, Tokens
from common.engine.plan import Sampled, SampleRow
from common.kernels.logits import Logits, RowMasks
from common.kernels.reference.gumbel import draw_keys
from common.kernels.reference.logprobs import Logprobs, logprobs
from common.kernels.reference.mask_rows import mask_rows
from common.kernels.reference.sample import Draws, draw_tokens
from common.types.sampling import TokenLogprobs

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks, StepMasks

Int64s = npt.NDArray[np.int64]

_UINT64 = (1 << 64) - 1
_plain_sampled: Callable[[tuple[object, ...]], Sampled] = partial(tuple.__new__, Sampled)
"""A named tuple's own constructor is a function of Python's."""


class Sampler:
    """One per engine; keeps token counts of penalised rows between steps and nothing else.

    Without `masks` a row with a constraint has nothing to choose.
    """

    def __init__(self, masks: "Masks | None" = None) -> None:
        self._adjuster = Adjuster()
        self._masks = masks
        self._bound = None if masks is None else BestAllowed(masks)

    def begin(self, rows: Sequence[SampleRow]) -> None:
        """Called before the forward pass whose logits `choose` will get: what needs no logits starts now."""
        if self._masks is not None:
            self._masks.begin(rows, may_ask=True)

    @property
    def awaits_masks(self) -> bool:
        """Since `begin`: whether the logits have to wait for what `masks` says of them."""
        return self._masks is not None and self._masks.coming

    def masks(self) -> RowMasks | None:
        """Called between the forward pass and the logits: what the best entries of some of them have to respect."""
        return None if self._bound is None else self._bound.masks()

    def choose(self, ranked: Logits, places: Sequence[int], rows: Sequence[SampleRow]) -> tuple[Sampled | None, ...]:
        """One outcome per row; None where the logits hold nothing to choose (not a number, or all excluded).

        `places[i]` is the row of the logits that `rows[i]` draws from.
        """
        if all(row.sampling.plain for row in rows) and all(map(isfinite, ranked.peaks.tolist())):
            self._adjuster.forget()
            best = ranked.best.tolist()
            return tuple([_plain_sampled((best[place], None, False)) for place in places])
        made, bound, masked = self._collect(ranked, places, rows)
        rest = [at for at in range(len(rows)) if at not in bound]
        done = np.array([at in masked for at in rest], dtype=bool)
        others = iter(self._choose(ranked, [places[at] for at in rest], [rows[at] for at in rest], made, done))
        return tuple([self._ending(bound[at]) if at in bound else next(others) for at in range(len(rows))])

    def _choose(
        self,
        ranked: Logits,
        places: Sequence[int],
        rows: Sequence[SampleRow],
        masks: "StepMasks | None",
        masked: npt.NDArray[np.bool_],
    ) -> tuple[Sampled | None, ...]:
        """The same for rows of any kind, with the masks of those that are constrained; some logits are under theirs."""
        if all(row.sampling.plain for row in rows):
            self._adjuster.forget()
            best, peaks = ranked.best.tolist(), ranked.peaks.tolist()
            return tuple([Sampled(best[place]) if isfinite(peaks[place]) else None for place in places])
        logits, sources = ranked.values, np.array(places)
        tokens, usable = ranked.best[sources], np.isfinite(ranked.peaks[sources])
        greedy = np.array([row.sampling.greedy for row in rows], dtype=bool)
        adjusted = np.array([is_adjusted(row) for row in rows], dtype=bool) & ~masked
        constrained = np.flatnonzero([row.sampling.constraint is not None for row in rows])
        usable[constrained] &= False if masks is None else ~masks.failed
        self._draw(logits, sources, rows, np.flatnonzero(usable & ~greedy & ~adjusted), tokens)
        changed = np.flatnonzero(usable & adjusted)
        wanted = [rows[row] for row in changed.tolist()]
        if not wanted:
            self._adjuster.forget()
        else:
            sound = usable[constrained] & ~masked[constrained]
            words = None if masks is None else masks.words[sound]
            copied = _copy(logits, sources[changed], np.searchsorted(changed, constrained[sound]), words)
            self._adjuster.adjust(copied.numpy(), wanted)
            adjusted_best = Logits.of(copied)
            tokens[changed], usable[changed] = adjusted_best.best, np.isfinite(adjusted_best.peaks)
            copies = np.zeros(len(rows), dtype=np.int64)
            copies[changed] = np.arange(len(changed))
            self._draw(copied, copies, rows, np.flatnonzero(usable & ~greedy & adjusted), tokens)
        scored = self._score(logits, sources, rows, np.flatnonzero(usable), tokens)
        return tuple(
            Sampled(int(token), scored.get(row), self._is_end(rows[row], int(token))) if fine else None
            for row, (token, fine) in enumerate(zip(tokens, usable, strict=True))
        )

    def _collect(
        self, ranked: Logits, places: Sequence[int], rows: Sequence[SampleRow]
    ) -> "tuple[StepMasks | None, Tokens, frozenset[int]]":
        """The tokens of rows that only want the best allowed one, the masks of all other constrained rows, and for
        which of them the logits have come masked.
        """
        if self._masks is None or self._bound is None or all(row.sampling.constraint is None for row in rows):
            return None, {}, frozenset()
        made = self._masks.collect()
        bound = self._bound.tokens(ranked, places, rows, made)
        return made.part([place for place, row in enumerate(made.rows) if row not in bound]), bound, self._bound.masked

    def _ending(self, token: int | None) -> Sampled | None:
        return None if token is None else Sampled(token, None, self._masks is not None and token in self._masks.end_ids)

    def _is_end(self, row: SampleRow, token: int) -> bool:
        return row.sampling.constraint is not None and self._masks is not None and token in self._masks.end_ids

    @staticmethod
    def _draw(logits: torch.Tensor, sources: Int64s, rows: Sequence[SampleRow], drawn: Int64s, tokens: Int64s) -> None:
        if not len(drawn):
            return
        wanted = [rows[row] for row in drawn.tolist()]
        sampling = [row.sampling for row in wanted]
        draws = Draws(
            temperature=np.array([s.temperature for s in sampling], dtype=np.float32),
            top_k=np.array([s.top_k for s in sampling], dtype=np.int64),
            top_p=np.array([s.top_p for s in sampling], dtype=np.float32),
            min_p=np.array([s.min_p for s in sampling], dtype=np.float32),
            keys=draw_keys(
                np.array([s.seed & _UINT64 for s in sampling], dtype=np.uint64),
                np.array([row.choice for row in wanted], dtype=np.uint64),
                np.array([row.index for row in wanted], dtype=np.uint64),
            ),
        )
        tokens[drawn] = draw_tokens(logits, sources[drawn], draws)

    @staticmethod
    def _score(
        logits: torch.Tensor, sources: Int64s, rows: Sequence[SampleRow], usable: Int64s, tokens: Int64s
    ) -> dict[int, TokenLogprobs]:
        wanted = {row: num for row in usable.tolist() if (num := rows[row].sampling.logprobs) is not None}
        if not wanted:
            return {}
        chosen = np.fromiter(wanted, dtype=np.int64)
        raw = logits[torch.from_numpy(sources[chosen])]
        scored = token_logprobs(
            tokens[chosen], list(wanted.values()), logprobs(raw, tokens[chosen], max(wanted.values()))
        )
        return dict(zip(wanted, scored, strict=True))


def _copy(logits: torch.Tensor, sources: Int64s, masked: Int64s, words: npt.NDArray[np.int32] | None) -> torch.Tensor:
    """These rows of the logits on the host, each of the `masked` ones under its mask."""
    if words is None:
        return logits[torch.from_numpy(sources)].cpu()
    if logits.device.type != "cpu":
        logits, sources = logits[torch.from_numpy(sources)].cpu(), np.arange(len(sources))
    values = logits.numpy()
    copied = np.empty((len(sources), values.shape[1]), dtype=np.float32)
    mask_rows(values, sources[masked], words, copied, masked)
    plain = np.setdiff1d(np.arange(len(sources)), masked)
    copied[plain] = values[sources[plain]]
    return torch.from_numpy(copied)


def token_logprobs(tokens: Int64s, num_top: Sequence[int], scored: Logprobs) -> list[TokenLogprobs]:
    """One message per token, each with as many alternatives as it asked for."""
    chosen = zip(tokens.tolist(), scored.chosen.tolist(), strict=True)
    tops = zip(scored.top_ids.tolist(), scored.top.tolist(), strict=True)
    return [
        TokenLogprobs(token, logprob, tuple(zip(ids[:num], best[:num], strict=True)))
        for (token, logprob), (ids, best), num in zip(chosen, tops, num_top, strict=True)
    ]
