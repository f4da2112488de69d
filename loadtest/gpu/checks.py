"""What the checks of kernels on a device share: random data on it, poisoned memory, one tolerance per dtype.

The truth is computed in float64 where a formula is at hand, otherwise by the reference of the same signature.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

# of the norm of the difference over the norm of the truth
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-3, torch.bfloat16: 1e-2}
DTYPES = tuple(TOLERANCE)


@dataclass(frozen=True, slots=True)
class Check:
    """`error` returns how far off the kernel was, and what it may be off by; it raises what the kernel raises."""

    name: str
    error: Callable[[], tuple[float, float]]


def random(*shape: int, dtype: torch.dtype = torch.float32, device: torch.device, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device).to(dtype)


def spread(x: torch.Tensor, gap: int = 24) -> torch.Tensor:
    """The same rows with NaN between them."""
    wide = torch.full((*x.shape[:-1], x.shape[-1] + gap), torch.nan, dtype=x.dtype, device=x.device)
    wide[..., : x.shape[-1]] = x
    return wide[..., : x.shape[-1]]


def distance(out: torch.Tensor, truth: torch.Tensor) -> float:
    """Infinite when anything is not a number; rows of nothing are equal."""
    if not torch.isfinite(out.float()).all():
        return float("inf")
    scale = float(truth.double().norm())
    return float((out.double() - truth.double()).norm()) / (scale or 1.0)


def same(out: torch.Tensor, truth: torch.Tensor) -> float:
    """How many elements differ."""
    return float((out != truth).sum())
