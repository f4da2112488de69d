"""Paged attention against a loop over queries and heads in float64; whatever no query may see is NaN."""

import math
import random

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.table import kernels_for

KERNELS = kernels_for(torch.device("cpu"))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}

# (tokens before, tokens computed now) per sequence; decode rows first
MIXED = ((0, 1), (4, 1), (11, 1), (63, 1), (200, 1), (3, 1), (0, 1 + 6), (5, 9), (40, 23), (0, 1))
DECODE = ((15, 1), (15, 1), (15, 1))
CHUNKS = ((0, 33), (8, 8), (37, 2))
# num_heads, num_kv_heads, head_dim, block_tokens
SHAPES = ((3, 1, 20, 5), (4, 4, 24, 4), (8, 1, 40, 16), (8, 2, 6, 64), (2, 2, 2, 1))


class Case:
    """Keys and values of every sequence, scattered over a pool that is NaN everywhere else."""

    def __init__(
        self, lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int], dtype: torch.dtype
    ) -> None:
        num_heads, num_kv_heads, head_dim, block_tokens = shape
        generator = torch.Generator().manual_seed(1)
        counts = [-(-(before + now) // block_tokens) for before, now in lengths]
        free = list(range(sum(counts) + 3))
        random.Random(1).shuffle(free)
        self.spans = []
        self.pool = torch.full((len(free), 3, 2, num_kv_heads, block_tokens, head_dim), torch.nan, dtype=dtype)
        for (before, now), count in zip(lengths, counts, strict=True):
            blocks = [free.pop() for _ in range(count)]
            self.spans.append(Span([0] * now, before, blocks))
            for position in range(before + now):
                place = self.pool[blocks[position // block_tokens], 1, :, :, position % block_tokens]
                place.copy_(torch.randn(place.shape, generator=generator))
        self.batch = Batch.pack(self.spans, block_tokens)
        self.query = torch.randn(self.batch.num_tokens, num_heads, head_dim, generator=generator).to(dtype)

    def attend(self, window: int | None) -> torch.Tensor:
        cache = self.pool[:, 1]
        reach = KERNELS.find_reach(self.batch, cache, window)
        return KERNELS.paged_attention(self.query, cache, reach, self.query.shape[2] ** -0.5, None)

    def expected(self, window: int | None) -> torch.Tensor:
        num_heads, head_dim = self.query.shape[1:]
        num_kv_heads = self.pool.shape[3]
        rows: list[torch.Tensor] = []
        for span in self.spans:
            kv = self.pool[list(span.blocks), 1].double().permute(1, 2, 0, 3, 4).reshape(2, num_kv_heads, -1, head_dim)
            for position in range(span.start, span.start + len(span.token_ids)):
                first = 0 if window is None else max(0, position - window + 1)
                query = self.query[len(rows)].double()
                row = []
                for head in range(num_heads):
                    keys, values = kv[:, head // (num_heads // num_kv_heads), first : position + 1]
                    scores = keys @ query[head] / math.sqrt(head_dim)
                    row.append(scores.softmax(0) @ values)
                rows.append(torch.cat(row))
        return torch.stack(rows)


@pytest.mark.parametrize("lengths", [MIXED, DECODE, CHUNKS], ids=["mixed", "decode", "chunks"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [None, 1, 7, 16, 1000])
def test_float32(lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int], window: int | None) -> None:
    case = Case(lengths, shape, torch.float32)
    out = case.attend(window)
    torch.testing.assert_close(out.double(), case.expected(window), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [None, 7])
def test_bfloat16(window: int | None) -> None:
    case = Case(MIXED, (9, 3, 64, 16), torch.bfloat16)
    out = case.attend(window)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), case.expected(window), rtol=2e-2, atol=2e-2)


def test_blocks_before_the_window_are_not_read() -> None:
    case = Case(((40, 1), (44, 6)), (4, 2, 20, 4), torch.float32)
    expected = case.expected(window=9)
    for span in case.spans:
        first_seen = span.start - 9 + 1
        case.pool[list(span.blocks[: first_seen // 4])] = torch.nan
    torch.testing.assert_close(case.attend(window=9).double(), expected, rtol=1e-5, atol=1e-5)


def test_neighbours_do_not_change_a_row() -> None:
    case = Case(MIXED, (4, 2, 20, 8), torch.float32)
    together = case.attend(None)
    row = 0
    for span in case.spans:
        length = len(span.token_ids)
        alone = Batch.pack([span], 8)
        reach = KERNELS.find_reach(alone, case.pool[:, 1], None)
        out = KERNELS.paged_attention(case.query[row : row + length], case.pool[:, 1], reach, 20**-0.5, None)
        torch.testing.assert_close(out, together[row : row + length], rtol=1e-6, atol=1e-6)
        row += length


def test_decode_rows_of_similar_length_share_a_gather_and_others_do_not() -> None:
    case = Case(MIXED, (2, 1, 4, 4), torch.float32)
    reach = KERNELS.find_reach(case.batch, case.pool[:, 1], None)
    gathered = sum(len(group.gather) for group in reach.groups)
    needed = sum(-(-kv_len // 4) for kv_len in case.batch.host_kv_lens[: case.batch.num_decode])
    assert gathered < 2 * needed
    windowed = KERNELS.find_reach(case.batch, case.pool[:, 1], 7)
    assert sum(len(group.gather) for group in windowed.groups) <= 6 * 3
