"""KV in eight bits: e4m3, one scale for keys and one for values."""

import torch

FP8 = torch.float8_e4m3fn
LARGEST = 448.0  # what does not fit becomes the largest number, never infinity or NaN

KVScales = tuple[float, float]


def quantise(x: torch.Tensor, scale: float) -> torch.Tensor:
    """`x / scale` in e4m3; NaN stays NaN."""
    return (x.float() / scale).clamp(-LARGEST, LARGEST).to(FP8)


def dequantise(x: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:
    return (x.float() * scale).to(dtype)
