"""Turns what requests ask (bias, penalties, a least number of tokens) into one change of a step's logits.

A constrained row's least number of tokens is part of its mask, which knows what else could be chosen. Owns the token
counts of penalised sequences, for exactly as long as each is sampled in every step; a sequence that pauses is counted
afresh. Knows nothing of drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.engine.plan import SampleRow
from common.engine.token_counts import TokenCounts
from common.kernels.reference.penalties import Bias, Mask, Penalties, add_bias, exclude, penalise
from common.types.ids import AttemptId

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """Of the penalised rows `places`: the distinct tokens of each, one row's after another's, and how to weigh them."""

    places: Int64s  # [P]
    sizes: Int64s  # [P]
    weights: npt.NDArray[np.float32]  # [3, P] repetition, presence, frequency
    ids: Int64s  # [sum of sizes]
    num_output: npt.NDArray[np.float32]

    def spread(self) -> Penalties:
        """An entry for each token."""
        repetition, presence, frequency = np.repeat(self.weights, self.sizes, axis=1)
        places = np.repeat(self.places, self.sizes)
        return Penalties(places, self.ids, self.num_output, repetition, presence, frequency)


@dataclass(frozen=True, slots=True)
class Changes:
    """What happens to some rows of logits, in this order; None where nothing does."""

    bias: Bias | None
    penalised: Histories | None
    excluded: Mask | None


def is_adjusted(row: SampleRow) -> bool:
    """Whether a row's logits are changed before a token is chosen."""
    sampling = row.sampling
    if sampling.penalised or sampling.logit_bias or sampling.constraint is not None:
        return True
    return row.index < sampling.min_tokens and bool(sampling.stop_token_ids)


class Adjuster:
    """Works out the changes; `adjust` makes them on the host."""

    def __init__(self) -> None:
        self._counts: dict[tuple[AttemptId, int], TokenCounts] = {}

    def adjust(self, logits: npt.NDArray[np.float32], rows: Sequence[SampleRow]) -> None:
        """Changes `logits` [R, V] float32 in place; call it once per step, with all adjusted rows of the step."""
        changes = self.changes(rows, logits.shape[1])
        if changes.bias is not None:
            add_bias(logits, changes.bias)
        if changes.penalised is not None:
            penalise(logits, changes.penalised.spread())
        if changes.excluded is not None:
            exclude(logits, changes.excluded)

    def changes(self, rows: Sequence[SampleRow], vocabulary: int, ahead: int = 0) -> Changes:
        """Of all adjusted rows of a step; `ahead` is 1 for the token after the one each asks for.

        Ids beyond the vocabulary are left out: a stop token may belong to another tokenizer's table.
        """
        biased = [
            (place, token, bias)
            for place, row in enumerate(rows)
            for token, bias in row.sampling.logit_bias
            if 0 <= token < vocabulary
        ]
        stops = [
            (place, token)
            for place, row in enumerate(rows)
            if row.index + ahead < row.sampling.min_tokens and row.sampling.constraint is None
            for token in row.sampling.stop_token_ids
            if 0 <= token < vocabulary
        ]
        bias = excluded = None
        if biased:
            places, ids, values = zip(*biased, strict=True)
            bias = Bias(np.array(places), np.array(ids), np.array(values, dtype=np.float32))
        if stops:
            places, ids = zip(*stops, strict=True)
            excluded = Mask(np.array(places), np.array(ids))
        return Changes(bias, self._histories(rows), excluded)

    def forget(self) -> None:
        """What a step without adjusted rows calls instead."""
        self._counts = {}

    def _histories(self, rows: Sequence[SampleRow]) -> Histories | None:
        penalised = [(place, row) for place, row in enumerate(rows) if row.sampling.penalised]
        kept, self._counts = self._counts, {}
        if not penalised:
            return None
        counts = []
        for _, row in penalised:
            key = (row.id, row.choice)
            found = kept.get(key)
            if found is None or found.num_tokens > len(row.tokens):
                found = TokenCounts(row.tokens, row.num_prompt_tokens)
            else:
                found.extend(row.tokens)
            self._counts[key] = found
            counts.append(found)
        sampling = [row.sampling for _, row in penalised]
        weights = [(s.repetition_penalty, s.presence_penalty, s.frequency_penalty) for s in sampling]
        return Histories(
            places=np.array([place for place, _ in penalised]),
            sizes=np.array([len(found.ids) for found in counts]),
            weights=np.array(weights, dtype=np.float32).T,
            ids=np.concatenate([found.ids for found in counts]),
            num_output=np.concatenate([found.num_output for found in counts]),
        )
