"""Attention over blocks, shared out among programs, against a loop in float64; what no query may see is NaN."""

from dataclasses import replace

import pytest
import torch

from common.kernels.dense_attention import dense_attention
from common.kernels.paged_attention import DeviceReach, find_reach, paged_attention
from common.kernels.reference import dense_attention as reference_dense
from common.kernels.reference.fp8 import FP8, KVScales, dequantise, quantise
from tests.kernels.test_paged_attention import Case
from tests.kernels.triton.cases import random, spread

# (tokens before, tokens computed now) per sequence; decode rows first
DECODE = ((0, 1), (40, 1), (15, 1), (16, 1), (69, 1))
ALONE = ((99, 1),)
CHUNKS = ((0, 19), (8, 8), (37, 2))
MIXED = ((20, 1), (3, 1), (0, 9), (5, 18))
# num_heads, num_kv_heads, head_dim, block_tokens
SHAPES = ((3, 1, 20, 5), (4, 4, 24, 4), (17, 1, 6, 16), (8, 2, 6, 64), (2, 2, 2, 1))
HALF_TOLERANCE = 4e-3


def attend(
    case: Case, window: int | None, pool: torch.Tensor | None = None, scales: KVScales = (1.0, 1.0)
) -> torch.Tensor:
    cache = (case.pool if pool is None else pool)[:, 1]
    reach = find_reach(case.batch, cache, window)
    out = paged_attention(spread(case.query), cache, reach, case.query.shape[2] ** -0.5, None, scales)
    check_nothing_pending(reach)
    return out


def check_nothing_pending(reach: DeviceReach) -> None:
    """The counts of parts are back at 0, for the next layer."""
    assert reach.decode is None or not reach.decode.arrived.any()


@pytest.mark.parametrize("window", [None, 1, 7, 1000])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lengths", [DECODE, ALONE, CHUNKS, MIXED], ids=["decode", "alone", "chunks", "mixed"])
def test_float32(lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int], window: int | None) -> None:
    case = Case(lengths, shape, torch.float32)
    torch.testing.assert_close(attend(case, window).double(), case.expected(window), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lengths", [DECODE, CHUNKS], ids=["decode", "chunks"])
def test_float16(lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int]) -> None:
    case = Case(lengths, shape, torch.float16)
    out = attend(case, 33)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), case.expected(33), rtol=HALF_TOLERANCE, atol=HALF_TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lengths", [DECODE, CHUNKS], ids=["decode", "chunks"])
def test_eight_bit_pool(lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int]) -> None:
    case = Case(lengths, shape, torch.float16)
    scales = (0.02, 0.5)
    halves = [quantise(case.pool[:, :, half], scale) for half, scale in enumerate(scales)]
    pool = torch.stack([half.view(torch.uint8) for half in halves], dim=2).view(FP8)
    case.pool = torch.stack([dequantise(h, s, torch.float32) for h, s in zip(halves, scales, strict=True)], dim=2)
    out = attend(case, None, pool, scales)
    torch.testing.assert_close(out.double(), case.expected(None), rtol=HALF_TOLERANCE, atol=HALF_TOLERANCE)


@pytest.mark.parametrize("lengths", [DECODE, CHUNKS], ids=["decode", "chunks"])
def test_blocks_before_the_window_are_not_read(lengths: tuple[tuple[int, int], ...]) -> None:
    case = Case(lengths, (4, 2, 20, 4), torch.float32)
    expected = case.expected(window=9)
    for span in case.spans:
        case.pool[list(span.blocks[: max(span.start - 9 + 1, 0) // 4])] = torch.nan
    torch.testing.assert_close(attend(case, 9).double(), expected, rtol=1e-5, atol=1e-5)


def test_a_row_without_any_context_is_zero_and_disturbs_nobody() -> None:
    case = Case(DECODE, (4, 2, 20, 4), torch.float32)
    expected = case.expected(None)
    lengths = case.batch.kv_lens.clone()
    lengths[2] = 0
    case.batch = replace(case.batch, kv_lens=lengths)
    expected[2] = 0
    torch.testing.assert_close(attend(case, None).double(), expected, rtol=1e-5, atol=1e-5)


def test_one_reach_serves_lengths_that_change_on_the_device() -> None:
    """What a captured step does: nothing of a launch depends on the lengths that the host knew."""
    case = Case(DECODE, (4, 2, 20, 4), torch.float32)
    whole = replace(case.batch, host_kv_lens=(10_000,) * case.batch.num_decode)
    cache = case.pool[:, 1]
    reach = find_reach(whole, cache, None)
    for _ in range(2):  # two layers
        out = paged_attention(case.query, cache, reach, 20**-0.5)
        torch.testing.assert_close(out.double(), case.expected(None), rtol=1e-5, atol=1e-5)
        check_nothing_pending(reach)


def test_whole_prompts_take_fresh_keys_and_values() -> None:
    case = Case(((6, 1), (0, 9), (4, 5)), (4, 2, 20, 4), torch.float32)
    expected = case.expected(None)
    cache = case.pool[:, 1].clone()
    fresh = torch.full((case.batch.num_tokens, 2, 2, 20), torch.nan)
    row = 0
    for span in case.spans:
        for position in range(span.start, span.start + len(span.token_ids)):
            fresh[row] = cache[span.blocks[position // 4], :, :, position % 4]
            row += 1
    cache[list(case.spans[1].blocks)] = torch.nan  # the whole prompt's blocks are not even looked at
    reach = find_reach(case.batch, cache, None)
    assert reach.dense == (slice(1, 10),)
    out = paged_attention(case.query, cache, reach, 20**-0.5, fresh)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("tokens", "heads", "kv_heads", "dim"), [(1, 1, 1, 2), (7, 6, 2, 20), (33, 3, 1, 64)])
def test_dense_attention(tokens: int, heads: int, kv_heads: int, dim: int) -> None:
    query, key_value = random(tokens, heads, dim), random(tokens, 2, kv_heads, dim, seed=1)
    expected = reference_dense.dense_attention(query, key_value, 0.3)
    torch.testing.assert_close(dense_attention(query, key_value, 0.3), expected, rtol=1e-5, atol=1e-5)
