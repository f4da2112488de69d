"""The gate of a gated feed-forward block."""

import torch
from torch.nn import functional


def silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """`[T, 2 N] -> [T, N]`: the first half, through silu, times the second."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate).mul_(up)
