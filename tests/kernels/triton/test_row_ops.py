"""Norms, the residual sum and the gate, in the interpreter."""

import pytest
import torch

from common.kernels.add_rms_norm import add_rms_norm
from common.kernels.reference import add_rms_norm as reference_add
from common.kernels.reference import rms_norm as reference_norm
from common.kernels.reference import silu_mul as reference_gate
from common.kernels.rms_norm import rms_norm
from common.kernels.silu_mul import silu_mul
from tests.kernels.triton.cases import DTYPES, check_close, random, spread

SHAPES = [(1, 1), (1, 2), (3, 7), (2, 60), (5, 64), (4, 65), (1, 577), (0, 8)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(shape: tuple[int, int], dtype: torch.dtype) -> None:
    x, weight = random(*shape, dtype=dtype), random(shape[1], dtype=dtype, seed=1)
    check_close(rms_norm(spread(x), weight, 1e-5), reference_norm.rms_norm(x, weight, 1e-5), dtype)


def test_rms_norm_of_any_leading_dimensions_leaves_its_input_alone() -> None:
    x, weight = random(2, 3, 12), random(12, seed=1)
    before = x.clone()
    check_close(rms_norm(x, weight, 1e-6), reference_norm.rms_norm(x, weight, 1e-6), x.dtype)
    assert torch.equal(x, before)


def test_rms_norm_of_tiny_and_of_large_rows() -> None:
    ones = torch.ones(8)
    tiny = torch.full((2, 8), 1e-4)
    check_close(rms_norm(tiny, ones, 1e-6), reference_norm.rms_norm(tiny, ones, 1e-6), torch.float32)
    large = torch.full((1, 64), 3e4, dtype=torch.float16)
    check_close(rms_norm(large, torch.ones(64).half(), 1e-6), torch.ones(1, 64), torch.float16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_add_rms_norm(shape: tuple[int, int], dtype: torch.dtype) -> None:
    x, residual = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=1)
    weight = random(shape[1], dtype=dtype, seed=2)
    own = spread(residual)
    out = add_rms_norm(x, own, weight, 1e-6)
    expected = reference_add.add_rms_norm(x, residual, weight, 1e-6)
    assert torch.equal(own, residual)
    check_close(out, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_silu_mul(shape: tuple[int, int], dtype: torch.dtype) -> None:
    gate_up = random(shape[0], 2 * shape[1], dtype=dtype)
    check_close(silu_mul(spread(gate_up)), reference_gate.silu_mul(gate_up), dtype)


def test_rows_with_gaps_inside_are_refused() -> None:
    with pytest.raises(ValueError, match="side by side"):
        silu_mul(random(8, 4).t())
    with pytest.raises(ValueError, match="side by side"):
        add_rms_norm(random(4, 4).t(), random(4, 4), random(4), 1e-6)
