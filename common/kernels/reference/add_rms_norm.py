"""The residual sum and the norm that follows it: every block of a layer ends in this pair."""

import torch

from common.kernels.reference.rms_norm import rms_norm


def add_rms_norm(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Adds `x` `[T, N]` to `residual` in place and returns the sum's norm."""
    residual.add_(x)
    return rms_norm(residual, weight, eps)
