"""Log probabilities and best alternatives on a device, in the interpreter."""

import pytest
import torch

from common.kernels.logprobs import logprobs
from common.kernels.reference import device_logprobs as reference
from common.kernels.reference import logprobs as host
from tests.kernels.triton.cases import random, spread

SHAPES = [(1, 1), (2, 5), (3, 64), (2, 65), (1, 300), (0, 9)]


@pytest.mark.parametrize("num_top", [0, 1, 6])
@pytest.mark.parametrize("shape", SHAPES)
def test_logprobs(shape: tuple[int, int], num_top: int) -> None:
    logits = random(*shape, seed=shape[1]) * 5
    tokens = torch.arange(shape[0]) * 7 % shape[1]
    out = logprobs(spread(logits), tokens, num_top)
    expected = reference.logprobs(logits, tokens, num_top)
    torch.testing.assert_close(out.chosen, expected.chosen, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.top, expected.top, rtol=1e-5, atol=1e-5)
    assert torch.equal(out.top_ids, expected.top_ids)


def test_as_the_host_says() -> None:
    logits, tokens = random(3, 100) * 2, torch.tensor([3, 50, 99])
    out, expected = logprobs(logits, tokens, 4), host.logprobs(logits, tokens.numpy(), 4)
    assert out.top_ids.tolist() == expected.top_ids.tolist()
    torch.testing.assert_close(out.chosen, torch.from_numpy(expected.chosen), rtol=1e-5, atol=1e-5)


def test_the_lower_id_comes_first_among_equals_and_excluded_entries_last() -> None:
    logits = torch.zeros(1, 130)
    logits[0, [129, 3, 70]] = 1.0
    out = logprobs(logits, torch.tensor([3]), 5)
    assert out.top_ids.tolist() == [[3, 70, 129, 0, 1]]
    logits = torch.full((1, 70), -torch.inf)
    logits[0, 69] = 0.0
    out = logprobs(logits, torch.tensor([69]), 3)
    assert out.top_ids.tolist() == [[69, 0, 1]]
    assert out.top.tolist() == [[0.0, -torch.inf, -torch.inf]]
