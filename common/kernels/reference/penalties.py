"""Changes logits before a token is chosen: bias, then penalties, then entries that must not be chosen.

Every argument is flat: one entry per (row, vocabulary id), so that a step's rows are changed together and rows without
any cost nothing. Knows nothing of where the entries come from.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.kernels.reference.gumbel import Float32s

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bias:
    """Added to the logits; entries that name the same place add up."""

    rows: Int64s
    ids: Int64s
    values: Float32s


@dataclass(frozen=True, slots=True)
class Penalties:
    """One entry per distinct token a row has seen. `num_output` counts it among the tokens generated so far."""

    rows: Int64s
    ids: Int64s
    num_output: Float32s
    repetition: Float32s
    presence: Float32s
    frequency: Float32s


@dataclass(frozen=True, slots=True)
class Mask:
    """Places that must not be chosen."""

    rows: Int64s
    ids: Int64s


def add_bias(logits: Float32s, bias: Bias) -> None:
    np.add.at(logits, (bias.rows, bias.ids), bias.values)


def penalise(logits: Float32s, penalties: Penalties) -> None:
    """Repetition scales a logit away from being chosen, for every token seen; presence and frequency count output.

    `logits` must be contiguous.
    """
    entries, places = logits.reshape(-1), penalties.rows * logits.shape[1] + penalties.ids
    seen = entries[places]
    seen = np.where(seen > 0, seen / penalties.repetition, seen * penalties.repetition)
    seen -= penalties.presence * (penalties.num_output > 0) + penalties.frequency * penalties.num_output
    entries[places] = seen


def exclude(logits: Float32s, mask: Mask) -> None:
    logits[mask.rows, mask.ids] = -np.inf
