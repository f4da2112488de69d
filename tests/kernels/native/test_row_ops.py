"""Ops on rows against their references."""

import pytest
import torch

from common.kernels.native import ops
from common.kernels.reference import rms_norm, silu_mul
from tests.kernels.native.compiled import compiled, every_level


@every_level
@pytest.mark.parametrize("count", [1, 15, 16, 17, 60, 576])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rms_norm(level: str, count: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(count)
    around = torch.full((3, count + 5), torch.nan)
    x = around[:, :count]
    x.copy_(torch.randn(3, count, generator=generator) * 7)
    weight = torch.rand(count, generator=generator)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    got = ops.rms_norm(compiled(level), x, weight, 1e-5, dtype)
    torch.testing.assert_close(got.float(), rms_norm.rms_norm(x, weight, 1e-5), rtol=tolerance, atol=tolerance)


@every_level
def test_silu_mul(level: str) -> None:
    gate = torch.cat((torch.linspace(-120, 120, 4001), torch.tensor([0.0, -0.0, torch.inf, 1e30, -1e30])))
    up = torch.randn(len(gate), generator=torch.Generator().manual_seed(0))
    got = ops.silu_mul(compiled(level), gate, up)
    torch.testing.assert_close(got, silu_mul.silu_mul(torch.cat((gate, up))), rtol=1e-5, atol=1e-6)


@every_level
def test_what_is_not_a_number_stays_so(level: str) -> None:
    gate = torch.tensor([torch.nan, 1.0, torch.nan])
    assert ops.silu_mul(compiled(level), gate, torch.ones(3)).isnan().tolist() == [True, False, True]
