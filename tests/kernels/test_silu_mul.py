"""The gate against its formula in float64."""

import pytest
import torch

from common.kernels.table import kernels_for

KERNELS = kernels_for(torch.device("cpu"))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 92), (5, 37), (64, 112)])
def test_silu_mul(shape: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    rows, size = shape
    gate_up = (torch.randn(rows, 2 * size, generator=torch.Generator().manual_seed(rows)) * 3).to(dtype)
    gate, up = gate_up[:, :size].double(), gate_up[:, size:].double()
    out = KERNELS.silu_mul(gate_up)
    assert out.shape == shape
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), gate / (1 + (-gate).exp()) * up, rtol=tolerance, atol=tolerance)


def test_extreme_gates_stay_finite() -> None:
    gate_up = torch.tensor([[-1e4, 1e4, 0.0, 2.0, 2.0, 2.0]])
    assert KERNELS.silu_mul(gate_up).tolist() == [[0.0, 2e4, 0.0]]
