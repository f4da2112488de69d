"""Turns what requests ask (bias, penalties, a least number of tokens) into one change of a step's logits.

A constrained row's least number of tokens is part of its mask, which knows what else could be chosen. Owns the token
counts of penalised sequences, for exactly as long as each is sampled in every step; a sequence that pauses is counted
afresh. Knows nothing of drawing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from common.engine.plan import SampleRow
from common.engine.token_counts import TokenCounts
from common.kernels.reference.penalties import Bias, Mask, Penalties, add_bias, exclude, penalise
from common.types.ids import AttemptId

Int64s = npt.NDArray[np.int64]


def is_adjusted(row: SampleRow) -> bool:
    """Whether a row's logits are changed before a token is chosen."""
    sampling = row.sampling
    if sampling.penalised or sampling.logit_bias or sampling.constraint is not None:
        return True
    return row.index < sampling.min_tokens and bool(sampling.stop_token_ids)


class Adjuster:
    """Changes logits in place."""

    def __init__(self) -> None:
        self._counts: dict[tuple[AttemptId, int], TokenCounts] = {}

    def adjust(self, logits: npt.NDArray[np.float32], rows: Sequence[SampleRow]) -> None:
        """`logits` [R, V] float32; call it once per step, with all adjusted rows of the step.

        Ids beyond the vocabulary are left out: a stop token may belong to another tokenizer's table.
        """
        vocabulary = logits.shape[1]
        biased = [
            (place, token, bias)
            for place, row in enumerate(rows)
            for token, bias in row.sampling.logit_bias
            if 0 <= token < vocabulary
        ]
        if biased:
            places, ids, values = zip(*biased, strict=True)
            add_bias(logits, Bias(np.array(places), np.array(ids), np.array(values, dtype=np.float32)))
        self._penalise(logits, rows)
        stops = [
            (place, token)
            for place, row in enumerate(rows)
            if row.index < row.sampling.min_tokens and row.sampling.constraint is None
            for token in row.sampling.stop_token_ids
            if 0 <= token < vocabulary
        ]
        if stops:
            places, ids = zip(*stops, strict=True)
            exclude(logits, Mask(np.array(places), np.array(ids)))

    def forget(self) -> None:
        """What a step without adjusted rows calls instead."""
        self._counts = {}

    def _penalise(self, logits: npt.NDArray[np.float32], rows: Sequence[SampleRow]) -> None:
        penalised = [(place, row) for place, row in enumerate(rows) if row.sampling.penalised]
        kept, self._counts = self._counts, {}
        if not penalised:
            return
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
        sizes = [len(found.ids) for found in counts]

        def spread(values: Sequence[float]) -> npt.NDArray[np.float32]:
            return np.repeat(np.array(values, dtype=np.float32), sizes)

        penalise(
            logits,
            Penalties(
                rows=np.repeat(np.array([place for place, _ in penalised]), sizes),
                ids=np.concatenate([found.ids for found in counts]),
                num_output=np.concatenate([found.num_output for found in counts]),
                repetition=spread([row.sampling.repetition_penalty for _, row in penalised]),
                presence=spread([row.sampling.presence_penalty for _, row in penalised]),
                frequency=spread([row.sampling.frequency_penalty for _, row in penalised]),
            ),
        )
