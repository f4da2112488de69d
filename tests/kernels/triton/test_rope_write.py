"""Rotation, head norms, KV writes and their quantisation, into a pool of NaN, in the interpreter."""

from dataclasses import replace

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.reference import rope_write as reference
from common.kernels.reference.fp8 import FP8, quantise
from common.kernels.rope_write import rope_write
from tests.kernels.triton.cases import DTYPES, check_close, random, spread

# num_heads, num_kv_heads, head_dim, block_tokens
SHAPES = [(1, 1, 2, 1), (3, 1, 20, 5), (4, 4, 24, 4), (8, 2, 6, 16), (5, 5, 64, 3), (9, 3, 10, 7)]
EPS = 1e-6


class Case:
    """Queries, keys and values of a few spans, and a pool with a layer before and after the one that is written."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
        num_heads, self.num_kv_heads, self.head_dim, self.block_tokens = shape
        spans = [Span([0], 7, list(range(9, 0, -1))), Span([0] * 5, 3, list(range(10, 20))), Span([0], 0, [0])]
        self.batch = Batch.pack(spans, self.block_tokens)
        self.qkv = random(self.batch.num_tokens, (num_heads + 2 * self.num_kv_heads) * self.head_dim, dtype=dtype)
        angles = random(self.batch.num_tokens, self.head_dim // 2, seed=1)
        self.cos, self.sin = angles.cos(), angles.sin()
        self.weights = random(2, self.head_dim, dtype=dtype, seed=2)

    def pool(self, dtype: torch.dtype) -> torch.Tensor:
        empty = torch.full((20, 3, 2, self.num_kv_heads, self.block_tokens, self.head_dim), torch.nan)
        return empty.to(dtype)

    def expected(self, qk_norm: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, all of qkv afterwards, and the pool."""
        qkv, pool = self.qkv.clone(), self.pool(self.qkv.dtype)
        query = reference.rope_write(qkv, self.cos, self.sin, pool[:, 1], self.batch, qk_norm, EPS)
        return query, qkv, pool


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rope_write(shape: tuple[int, int, int, int], dtype: torch.dtype, normed: bool) -> None:
    case = Case(shape, dtype)
    qk_norm = case.weights if normed else None
    query, qkv, pool = case.expected(qk_norm)
    own, own_pool = case.qkv.clone(), case.pool(dtype)
    out = rope_write(own, case.cos, case.sin, own_pool[:, 1], case.batch, qk_norm, EPS)
    check_close(out, query, dtype)
    check_close(own, qkv, dtype)
    assert torch.equal(own_pool.isnan(), pool.isnan())
    check_close(own_pool.nan_to_num(), pool.nan_to_num(), dtype)
    assert out.data_ptr() == own.data_ptr()


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.01, 3.0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_eight_bit_pools_get_quantised_keys_and_values(
    shape: tuple[int, int, int, int], scales: tuple[float, float]
) -> None:
    case = Case(shape, torch.float32)
    _, _, pool = case.expected(None)
    own = case.pool(FP8)
    rope_write(case.qkv, case.cos, case.sin, own[:, 1], case.batch, None, EPS, scales)
    expected = torch.stack([quantise(pool[:, :, half], scale) for half, scale in enumerate(scales)], dim=2)
    # a last bit of the rotation may round across the middle between two of the few numbers there are
    difference = (own.float().nan_to_num() - expected.float().nan_to_num()).abs()
    assert torch.equal(own.float().isnan(), expected.float().isnan())
    assert (difference <= 0.0704 * expected.float().nan_to_num().abs() + 2**-9).all()
    assert (difference > 0).float().mean() < 0.01


def test_a_token_without_a_block_is_rotated_and_written_nowhere() -> None:
    case = Case(SHAPES[1], torch.float32)
    query, _, pool = case.expected(None)
    blocks = case.batch.slot_blocks.clone()
    pool[blocks[-1], 1, :, :, case.batch.slot_offsets[-1]] = torch.nan
    blocks[-1] = -1
    own = case.pool(torch.float32)
    batch = replace(case.batch, slot_blocks=blocks)
    check_close(rope_write(case.qkv, case.cos, case.sin, own[:, 1], batch, None, EPS), query, torch.float32)
    torch.testing.assert_close(own, pool, equal_nan=True)


def test_tables_with_gaps_inside_are_refused() -> None:
    case = Case(SHAPES[1], torch.float32)
    with pytest.raises(ValueError, match="side by side"):
        rope_write(case.qkv, case.cos, spread(case.sin), case.pool(torch.float32)[:, 1], case.batch, None, EPS)
