"""Closing vocabulary entries by bits, in the interpreter."""

import pytest
import torch

from common.kernels.reference import token_mask as reference
from common.kernels.token_mask import token_mask
from tests.kernels.triton.cases import random, spread

# entries, words per row, rows that are constrained of five
SHAPES = [(1, 1, [0]), (31, 1, [4]), (32, 1, [1, 3]), (33, 2, [2]), (100, 4, [4, 0, 2]), (200, 7, [1]), (64, 1, [3])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("entries", "num_words", "rows"), SHAPES)
def test_token_mask(entries: int, num_words: int, rows: list[int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(entries)
    words = torch.randint(-(2**31), 2**31, (len(rows), num_words), generator=generator, dtype=torch.int64).int()
    logits = random(5, entries, dtype=dtype)
    expected, own = logits.clone(), spread(logits)
    reference.token_mask(expected, torch.tensor(rows), words)
    token_mask(own, torch.tensor(rows), words)
    assert torch.equal(own, expected)
    others = [row for row in range(5) if row not in rows]
    assert torch.equal(own[others], logits[others])


def test_all_bits_open_all_and_none_close_all() -> None:
    logits = random(2, 40)
    own = logits.clone()
    token_mask(own, torch.tensor([0, 1]), torch.tensor([[-1, -1], [0, 0]], dtype=torch.int32))
    assert torch.equal(own[0], logits[0])
    assert own[1].isneginf().all()


def test_no_constrained_rows_change_nothing() -> None:
    logits = random(2, 40)
    own = logits.clone()
    token_mask(own, torch.empty(0, dtype=torch.int64), torch.empty(0, 2, dtype=torch.int32))
    assert torch.equal(own, logits)
