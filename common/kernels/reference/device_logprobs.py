"""Log probabilities that stay on the logits' device: `logprobs.py` for devices."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class DeviceLogprobs:
    """Natural logarithms, one row per row of logits; alternatives best first, the lower id first among equals."""

    chosen: torch.Tensor  # [R] float32
    top_ids: torch.Tensor  # [R, n] int64
    top: torch.Tensor  # [R, n] float32


def logprobs(logits: torch.Tensor, token_ids: torch.Tensor, num_top: int) -> DeviceLogprobs:
    """`logits` is `[R, V]` with a finite maximum in each row, `token_ids` `[R]` int64; `num_top` may be 0."""
    scores = torch.log_softmax(logits.float(), dim=1)
    order = torch.sort(logits.float(), dim=1, descending=True, stable=True).indices[:, :num_top]
    return DeviceLogprobs(scores.gather(1, token_ids[:, None])[:, 0], order, scores.gather(1, order))
