"""Changes logits before a token is chosen, from arguments that lie on their device: `penalties.py` for devices."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class SeenTokens:
    """One entry per distinct token a row has seen. `num_output` counts it among the tokens generated so far."""

    rows: torch.Tensor  # int64
    ids: torch.Tensor  # int64
    num_output: torch.Tensor  # float32
    repetition: torch.Tensor  # float32
    presence: torch.Tensor  # float32
    frequency: torch.Tensor  # float32


def add_bias(logits: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor, values: torch.Tensor) -> None:
    """`logits` float32 `[R, V]`; entries that name the same place add up."""
    logits.index_put_((rows, ids), values, accumulate=True)


def penalise(logits: torch.Tensor, seen: SeenTokens) -> None:
    """Repetition scales a logit away from being chosen, for every token seen; presence and frequency count output."""
    found = logits[seen.rows, seen.ids]
    found = torch.where(found > 0, found / seen.repetition, found * seen.repetition)
    found -= seen.presence * (seen.num_output > 0) + seen.frequency * seen.num_output
    logits[seen.rows, seen.ids] = found


def exclude(logits: torch.Tensor, rows: torch.Tensor, ids: torch.Tensor) -> None:
    """These places become -inf."""
    logits[rows, ids] = -torch.inf
