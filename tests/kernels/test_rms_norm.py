"""The norm, alone and after the residual sum, against the formula in float64."""

import pytest
import torch

from common.kernels.table import kernels_for

KERNELS = kernels_for(torch.device("cpu"))
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
SHAPES = [(1, 1), (1, 60), (7, 64), (3, 5, 24), (33, 577)]


def naive(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    x = x.double()
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight.double()


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight = random(*shape, dtype=dtype), random(shape[-1], dtype=dtype, seed=1)
    before = x.clone()
    out = KERNELS.rms_norm(x, weight, 1e-5)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), naive(x, weight, 1e-5), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert torch.equal(x, before)


def test_rms_norm_of_tiny_rows_depends_on_eps() -> None:
    x, weight = torch.full((2, 8), 1e-4), torch.ones(8)
    torch.testing.assert_close(KERNELS.rms_norm(x, weight, 1e-6), naive(x, weight, 1e-6).float())


def test_rms_norm_of_large_half_rows_does_not_overflow() -> None:
    x, weight = torch.full((1, 64), 3e4, dtype=torch.float16), torch.ones(64, dtype=torch.float16)
    torch.testing.assert_close(KERNELS.rms_norm(x, weight, 1e-6), torch.ones_like(x))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(1, 60), (7, 64), (33, 577)])
def test_add_rms_norm(shape: tuple[int, int], dtype: torch.dtype) -> None:
    x, residual = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=1)
    weight = random(shape[1], dtype=dtype, seed=2)
    expected_sum = residual + x
    out = KERNELS.add_rms_norm(x, residual, weight, 1e-6)
    assert torch.equal(residual, expected_sum)
    expected = naive(expected_sum, weight, 1e-6)
    torch.testing.assert_close(out.double(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
