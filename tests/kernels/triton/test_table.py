"""Which kernels a device gets; the interpreted ones compute, op by op, what the reference does."""

import pytest
import torch

from common.kernels import table
from common.kernels.batch import Batch, Span
from common.kernels.table import REFERENCE, Kernels, kernels_for
from tests.kernels.triton.cases import random

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def layer(kernels: Kernels, batch: Batch, kv: torch.dtype) -> torch.Tensor:
    """A decoder layer's ops in their order, over a pool of their own."""
    pool = (random(12, 2, 2, 4, 10) / 2).to(kv)
    x, residual = random(batch.num_tokens, 30, seed=1), random(batch.num_tokens, 30, seed=2)
    hidden = kernels.add_rms_norm(x, residual, random(30, seed=3), 1e-6)
    qkv = kernels.linear(hidden, random(80, 30, seed=4), random(80, seed=5))
    angles = random(batch.num_tokens, 5, seed=6)
    query = kernels.rope_write(qkv, angles.cos(), angles.sin(), pool, batch, random(2, 10, seed=7), 1e-6)
    fresh = qkv[:, 40:].view(batch.num_tokens, 2, 2, 10)
    reach = kernels.find_reach(batch, pool, None)
    attended = kernels.paged_attention(query, pool, reach, 0.3, fresh)
    return kernels.rms_norm(kernels.silu_mul(attended), random(20, seed=8), 1e-6)


@pytest.mark.parametrize(
    ("kv", "tolerance"), [(torch.float32, 1e-3), (torch.float16, 1e-3), (torch.float8_e4m3fn, 4e-3)], ids=str
)
def test_a_layer_of_triton_kernels_computes_what_the_reference_does(kv: torch.dtype, tolerance: float) -> None:
    """Also where KV is kept in another type: a whole prompt then sees what was computed, others what was kept."""
    spans = [Span([0], 9, [1, 2, 3]), Span([0] * 7, 0, [4, 5]), Span([0] * 3, 2, [6, 7])]
    batch = Batch.pack(spans, 4)
    found, expected = layer(table._triton_kernels(CPU), batch, kv), layer(REFERENCE, batch, kv)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_a_processor_gets_the_reference() -> None:
    assert kernels_for(CPU) is REFERENCE


def test_without_triton_a_device_gets_the_reference_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    assert kernels_for(CUDA) is REFERENCE
    assert "triton is not installed" in caplog.text
