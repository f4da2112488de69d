"""e4m3 by integer arithmetic against torch's conversions: every code, and numbers at and between them.

A token's value alone in its context comes out of attention as it was decoded; without rotation it goes into the pool
as it was encoded.
"""

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.paged_attention import find_reach, paged_attention
from common.kernels.reference.fp8 import FP8, dequantise, quantise
from common.kernels.rope_write import rope_write


def encode(x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """The codes that a value `[D]` has in the pool."""
    pool = torch.zeros(1, 2, 1, 1, len(x), dtype=torch.uint8).view(FP8)
    still = torch.ones(1, len(x) // 2), torch.zeros(1, len(x) // 2)
    qkv = torch.cat((torch.zeros(2 * len(x)), x))[None]
    rope_write(qkv, *still, pool, Batch.pack([Span([0], 0, [0])], 1), None, 1e-6, (1.0, scale))
    return pool.view(torch.uint8)[0, 1, 0, 0]


def test_every_code_is_decoded_exactly() -> None:
    codes = torch.arange(256).to(torch.uint8)
    pool = torch.zeros(1, 2, 1, 1, 256, dtype=torch.uint8)
    pool[0, 1, 0, 0] = codes
    batch = Batch.pack([Span([0], 0, [0])], 1)
    query = torch.zeros(1, 1, 256, dtype=torch.float16)
    out = paged_attention(query, pool.view(FP8), find_reach(batch, pool.view(FP8), None), 1.0, None, (1.0, 0.5))
    expected = codes.view(FP8).float() * 0.5
    torch.testing.assert_close(out[0].float(), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_every_number_and_every_middle_is_encoded_as_torch_does(scale: float) -> None:
    numbers = torch.arange(127).to(torch.uint8).view(FP8).float()
    middles = (numbers[1:] + numbers[:-1]) / 2
    x = torch.cat((numbers, middles, middles * (1 + 1e-6), middles * (1 - 1e-6))) * scale
    x = torch.cat((x, -x))
    assert torch.equal(encode(x, scale), quantise(x, scale).view(torch.uint8))


@pytest.mark.parametrize("value", [449.0, 1e30, -500.0, -3e38])
def test_what_does_not_fit_becomes_the_largest(value: float) -> None:
    x = torch.full((4,), value)
    assert torch.equal(encode(x), quantise(x, 1.0).view(torch.uint8))
    assert dequantise(quantise(x, 1.0), 2.0, torch.float32).abs().tolist() == [896.0] * 4


def test_not_a_number_stays_so() -> None:
    x = torch.full((2,), torch.nan)
    assert encode(x).view(FP8).float().isnan().all()
    assert quantise(x, 1.0).float().isnan().all()
