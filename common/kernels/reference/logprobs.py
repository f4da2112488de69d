"""Log probabilities of chosen tokens and of the best alternatives, from untouched logits.

Knows nothing of sampling: temperature, penalties and filters never show in what it returns.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Natural logarithms, one row per row of logits; alternatives best first, the lower id first among equals."""

    chosen: npt.NDArray[np.float32]  # [R]
    top_ids: npt.NDArray[np.int64]  # [R, n]
    top: npt.NDArray[np.float32]  # [R, n]


def logprobs(logits: torch.Tensor, token_ids: npt.NDArray[np.int64], num_top: int) -> Logprobs:
    """`logits` is float32 [R, V]; `num_top` may be 0."""
    scores = torch.log_softmax(logits, dim=1)
    tokens = torch.from_numpy(token_ids).to(logits.device)
    chosen = scores.gather(1, tokens[:, None])[:, 0].cpu().numpy()
    top, top_ids = (part.cpu().numpy() for part in torch.topk(scores, min(num_top, scores.shape[1]), dim=1))
    order = np.lexsort((top_ids, -top), axis=1)
    return Logprobs(chosen, np.take_along_axis(top_ids, order, axis=1), np.take_along_axis(top, order, axis=1))
