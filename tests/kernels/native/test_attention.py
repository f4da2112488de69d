"""Rotation, KV writes and attention against the reference ops, on pools that are NaN wherever nothing was written."""

import random

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.native.ops import Attention
from common.kernels.reference.paged_attention import paged_attention
from common.kernels.reference.reach import find_reach
from common.kernels.reference.rope_write import rope_write
from tests.kernels.native.compiled import compiled, every_level

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
EPS = 1e-6

# (tokens before, tokens computed now) per sequence; decode rows first
MIXED = ((0, 1), (4, 1), (63, 1), (200, 1), (3, 1), (0, 7), (5, 9), (40, 23), (130, 70), (0, 1))
LONG = ((1300, 1), (511, 1), (512, 1), (15, 1), (500, 300))
# num_heads, num_kv_heads, head_dim, block_tokens: those of a decode kernel, and odd ones
SHAPES = ((9, 3, 64, 16), (4, 4, 32, 5), (6, 1, 80, 16), (10, 2, 96, 4), (8, 1, 128, 16), (2, 2, 256, 8))
ODD = ((3, 1, 20, 5), (4, 4, 24, 4), (8, 1, 40, 16), (8, 2, 6, 64), (2, 2, 2, 1))


class Scene:
    """Earlier tokens' KV scattered over a pool, and one step's `qkv`."""

    def __init__(
        self, lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int], dtype: torch.dtype
    ) -> None:
        self.num_heads, num_kv_heads, head_dim, block_tokens = shape
        generator = torch.Generator().manual_seed(1)
        counts = [-(-(before + now) // block_tokens) for before, now in lengths]
        free = list(range(sum(counts) + 3))
        random.Random(1).shuffle(free)
        whole = torch.full((len(free), 3, 2, num_kv_heads, block_tokens, head_dim), torch.nan, dtype=dtype)
        self.pool = whole[:, 1:2]
        spans = []
        for (before, now), count in zip(lengths, counts, strict=True):
            blocks = [free.pop() for _ in range(count)]
            spans.append(Span([0] * now, before, blocks))
            filled = torch.randn(count, 1, 2, num_kv_heads, block_tokens, head_dim, generator=generator).to(dtype)
            places = torch.arange(count * block_tokens).view(count, 1, 1, 1, block_tokens, 1)
            self.pool[blocks] = filled.masked_fill(places >= before, torch.nan)
        self.batch = Batch.pack(spans, block_tokens)
        width = (self.num_heads + 2 * num_kv_heads) * head_dim
        # a row's values are those the reference's dtype can hold, so that both start from the same numbers
        self.qkv = torch.randn(self.batch.num_tokens, width, generator=generator).to(dtype)
        angles = torch.outer(torch.arange(2048.0), 0.5 ** torch.arange(head_dim // 2))
        self.rope = angles.cos(), angles.sin()
        self.qk_norm = torch.rand(2, head_dim, generator=generator) + 0.5

    def expected(self, window: int | None, normed: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """In float32 throughout, with keys and values rounded as the pool's dtype has them."""
        pool = self.pool.float()
        cos, sin = (table[self.batch.positions] for table in self.rope)
        norm = self.qk_norm if normed else None
        query = rope_write(self.qkv.float().clone(), cos, sin, pool[:, 0], self.batch, norm, EPS)
        pool = pool.to(self.pool.dtype).float()
        reach = find_reach(self.batch, pool[:, 0], window)
        return paged_attention(query, pool[:, 0], reach, query.shape[2] ** -0.5), pool

    def check(self, level: str, window: int | None, normed: bool) -> None:
        expected, pool = self.expected(window, normed)
        norm = self.qk_norm if normed else None
        attend = Attention(compiled(level), self.num_heads, self.rope, window, norm, EPS)
        around = torch.full((len(self.qkv), self.qkv.shape[1] + 3), torch.nan)
        qkv = around[:, :-3]
        qkv.copy_(self.qkv)
        out = attend(qkv, self.batch, self.pool)
        tolerance = TOLERANCE[self.pool.dtype]
        torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(self.pool.float(), pool, rtol=tolerance, atol=tolerance, equal_nan=True)


@every_level
@pytest.mark.parametrize("shape", SHAPES + ODD, ids=str)
@pytest.mark.parametrize("window", [None, 7, 150])
def test_float32(level: str, shape: tuple[int, int, int, int], window: int | None) -> None:
    Scene(MIXED, shape, torch.float32).check(level, window, normed=window == 7)


@every_level
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[4], ODD[0]], ids=str)
@pytest.mark.parametrize("window", [None, 7])
def test_half_precision(level: str, dtype: torch.dtype, shape: tuple[int, int, int, int], window: int | None) -> None:
    Scene(MIXED, shape, dtype).check(level, window, normed=True)


@every_level
@pytest.mark.parametrize("window", [None, 600])
def test_contexts_of_several_parts(level: str, window: int | None) -> None:
    Scene(LONG, SHAPES[0], torch.float32).check(level, window, normed=False)


def test_threads_change_nothing() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            scene = Scene(LONG, SHAPES[0], torch.bfloat16)
            attend = Attention(compiled("avx512_bf16"), scene.num_heads, scene.rope)
            results.append(attend(scene.qkv.float(), scene.batch, scene.pool))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(result, results[0]) for result in results)


def test_neighbours_do_not_change_a_row() -> None:
    scene = Scene(MIXED, SHAPES[0], torch.bfloat16)
    attend = Attention(compiled("avx512_bf16"), scene.num_heads, scene.rope)
    together = attend(scene.qkv.float(), scene.batch, scene.pool)
    row = 0
    for (before, now), length in zip(MIXED, scene.batch.q_lens, strict=True):
        sequence = scene.batch.query_starts.tolist().index(row)
        span = Span([0] * now, before, scene.batch.block_tables[sequence].tolist())
        alone = attend(scene.qkv[row : row + length].float(), Batch.pack([span], 16), scene.pool)
        # the last row, a lone token, is a chunk here and a decode row there
        if length > 1 or sequence < scene.batch.num_decode:
            assert torch.equal(alone, together[row : row + length])
        row += length
