"""Tables of cos and sin for every position, in float32, computed once when a model is loaded.

Frequencies must be those the model was trained with to the last bit: an error in one grows with the position.
"""

import math

import torch

from common.models.rope_config import RopeConfig


def inverse_frequencies(rope: RopeConfig, head_dim: int) -> torch.Tensor:
    """`[head_dim / 2]` float32, in radians per token."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    spacing = rope.theta**exponents
    plain = 1.0 / spacing
    if rope.kind == "linear":
        return plain / rope.factor
    if rope.kind == "llama3":
        return _llama3(plain, rope)
    if rope.kind == "yarn":
        return _yarn(spacing, rope, head_dim)
    return plain


def rope_tables(
    rope: RopeConfig, head_dim: int, num_positions: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, each `[num_positions, head_dim / 2]` float32."""
    positions = torch.arange(num_positions, dtype=torch.float32)
    angles = torch.outer(positions, inverse_frequencies(rope, head_dim))
    return (angles.cos() * rope.magnitude).to(device), (angles.sin() * rope.magnitude).to(device)


def _llama3(plain: torch.Tensor, rope: RopeConfig) -> torch.Tensor:
    """Slow frequencies are stretched, fast ones left alone, those between blended by how often they turn."""
    turns = rope.original_max_tokens / (2 * math.pi / plain)
    kept = ((turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)).clamp(0, 1)
    return (1 - kept) * plain / rope.factor + kept * plain


def _yarn(spacing: torch.Tensor, rope: RopeConfig, head_dim: int) -> torch.Tensor:
    """As llama3, but blended linearly over the frequency's index. `spacing` is tokens per radian."""

    def index_turning(turns: float) -> float:
        wavelength = rope.original_max_tokens / turns
        return head_dim * math.log(wavelength / (2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = index_turning(rope.beta_fast), index_turning(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    indices = torch.arange(head_dim // 2, dtype=torch.float32)
    kept = 1 - ((indices - low) / (high - low or 0.001)).clamp(0, 1)
    return 1.0 / (rope.factor * spacing) * (1 - kept) + 1.0 / spacing * kept
