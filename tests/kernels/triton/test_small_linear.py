"""Products of a few rows, shared out among programs, in the interpreter."""

import pytest
import torch

from common.kernels.reference import small_linear as reference
from common.kernels.small_linear import SmallLinear
from tests.kernels.triton.cases import DTYPES, random, spread

# rows, columns, depth: whole tiles and others, fewer tiles than programs and more
SHAPES = [(1, 1, 1), (1, 16, 16), (1, 48, 64), (2, 7, 100), (3, 50, 70), (5, 16, 200), (16, 33, 31), (17, 70, 64)]


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_small_linear(shape: tuple[int, int, int], dtype: torch.dtype, biased: bool) -> None:
    rows, columns, depth = shape
    x, weight = random(rows, depth, dtype=dtype), random(columns, depth, dtype=dtype, seed=1)
    bias = random(columns, dtype=dtype, seed=2) if biased else None
    out = SmallLinear(torch.device("cpu"))(spread(x), spread(weight), bias)
    expected = reference.small_linear(x, weight, bias)
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


def test_products_one_after_the_other_do_not_disturb_each_other() -> None:
    linear = SmallLinear(torch.device("cpu"))
    for seed in range(3):
        x, weight = random(2, 90, seed=seed), random(20, 90, seed=seed + 9)
        torch.testing.assert_close(linear(x, weight), reference.small_linear(x, weight), rtol=1e-4, atol=1e-4)


def test_more_rows_than_it_is_for_go_to_torch() -> None:
    x, weight = random(4, 8), random(3, 8)
    assert torch.equal(SmallLinear(torch.device("cpu"), max_rows=3)(x, weight), reference.small_linear(x, weight))
    assert SmallLinear(torch.device("cpu"))(x[:0], weight).shape == (0, 3)
