"""Root-mean-square norm of each row."""

import torch
from torch.nn import functional


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """`[..., N]`, `[N] -> [..., N]`; the mean is taken in float32 whatever the dtype."""
    return functional.rms_norm(x, weight.shape, weight, eps)
