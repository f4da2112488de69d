"""Rotation, head norms and KV writes, against loops over tokens and heads, into a pool of NaN."""

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.table import kernels_for

KERNELS = kernels_for(torch.device("cpu"))
EPS = 1e-6


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Element i and element i + D/2 are one complex number, turned by angle i."""
    half = len(x) // 2
    turned = torch.complex(x[:half], x[half:]) * torch.complex(cos, sin)
    return torch.cat((turned.real, turned.imag))


def norm(x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return x if weight is None else x / (x.square().mean() + EPS).sqrt() * weight


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize(("num_heads", "num_kv_heads", "head_dim", "block_tokens"), [(3, 1, 20, 5), (4, 4, 24, 4)])
def test_rope_write(
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    block_tokens: int,
    dtype: torch.dtype,
    tolerance: float,
    normed: bool,
) -> None:
    generator = torch.Generator().manual_seed(7)
    spans = [Span([0], 7, [7, 2]), Span([0] * 5, 3, [5, 0]), Span([0] * 2, 0, [9])]
    batch = Batch.pack(spans, block_tokens)
    tokens = batch.num_tokens
    qkv = torch.randn(tokens, (num_heads + 2 * num_kv_heads) * head_dim, generator=generator).to(dtype)
    angles = torch.rand(tokens, head_dim // 2, generator=generator) * 6
    qk_norm = torch.rand(2, head_dim, generator=generator).to(dtype) + 0.5 if normed else None
    pool = torch.full((11, 3, 2, num_kv_heads, block_tokens, head_dim), torch.nan, dtype=dtype)
    heads = qkv.double().view(tokens, -1, head_dim)

    query = KERNELS.rope_write(qkv, angles.cos(), angles.sin(), pool[:, 1], batch, qk_norm, EPS)

    expected = torch.full(pool.shape, torch.nan, dtype=torch.float64)
    cos, sin = angles.cos().double(), angles.sin().double()
    weights = (None, None) if qk_norm is None else tuple(qk_norm.double())
    for token in range(tokens):
        block, offset = int(batch.slot_blocks[token]), int(batch.slot_offsets[token])
        for head in range(num_heads):
            wanted = rotate(norm(heads[token, head], weights[0]), cos[token], sin[token])
            torch.testing.assert_close(query[token, head].double(), wanted, rtol=tolerance, atol=tolerance)
        for head in range(num_kv_heads):
            key = norm(heads[token, num_heads + head], weights[1])
            expected[block, 1, 0, head, offset] = rotate(key, cos[token], sin[token])
            expected[block, 1, 1, head, offset] = heads[token, num_heads + num_kv_heads + head]
    # NaN equals NaN here: what was not addressed must still be poison, other layers included
    torch.testing.assert_close(pool.double(), expected, rtol=tolerance, atol=tolerance, equal_nan=True)
