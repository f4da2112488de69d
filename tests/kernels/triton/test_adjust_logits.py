"""Bias, penalties and excluded entries on a device against the host's, in the interpreter."""

import pytest
import torch

from common.kernels import adjust_logits as kernels
from common.kernels.reference import adjust_logits as reference
from common.kernels.reference import penalties
from common.kernels.reference.adjust_logits import SeenTokens
from tests.kernels.triton.cases import random, spread

SHAPES = [(1, 1, 1), (2, 9, 5), (3, 40, 60), (4, 333, 130)]  # rows, entries, places


def places(shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Different places, in no order."""
    rows, entries, count = shape
    flat = torch.randperm(rows * entries, generator=torch.Generator().manual_seed(count))[:count]
    return flat // entries, flat % entries


def seen_tokens(shape: tuple[int, int, int]) -> SeenTokens:
    rows, ids = places(shape)
    count = len(rows)
    numbers = random(4, count).abs()
    return SeenTokens(rows, ids, (numbers[0] * 2).floor(), 0.5 + numbers[1], numbers[2], numbers[3] - 0.5)


@pytest.mark.parametrize("shape", SHAPES)
def test_penalties(shape: tuple[int, int, int]) -> None:
    logits, seen = random(*shape[:2], seed=1) * 4, seen_tokens(shape)
    expected, own, host = logits.clone(), spread(logits), logits.clone()
    reference.penalise(expected, seen)
    kernels.penalise(own, seen)
    torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)
    lists = (seen.rows, seen.ids, seen.num_output, seen.repetition, seen.presence, seen.frequency)
    penalties.penalise(host.numpy(), penalties.Penalties(*(part.numpy() for part in lists)))
    torch.testing.assert_close(own, host, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_bias_adds_up(shape: tuple[int, int, int]) -> None:
    rows, ids = (torch.cat((part, part[:1])) for part in places(shape))
    values = random(len(rows), seed=2)
    logits = random(*shape[:2], seed=1)
    expected, own = logits.clone(), spread(logits)
    penalties.add_bias(expected.numpy(), penalties.Bias(rows.numpy(), ids.numpy(), values.numpy()))
    kernels.add_bias(own, rows, ids, values)
    torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)
    reference.add_bias(logits, rows, ids, values)
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_excluded_entries(shape: tuple[int, int, int]) -> None:
    rows, ids = places(shape)
    logits = random(*shape[:2], seed=1)
    expected, own = logits.clone(), spread(logits)
    penalties.exclude(expected.numpy(), penalties.Mask(rows.numpy(), ids.numpy()))
    kernels.exclude(own, rows, ids)
    assert torch.equal(own, expected)
    reference.exclude(logits, rows, ids)
    assert torch.equal(logits, expected)


def test_nothing_to_change_changes_nothing() -> None:
    logits, nothing = random(2, 3), torch.empty(0, dtype=torch.int64)
    kernels.exclude(logits, nothing, nothing)
    kernels.add_bias(logits, nothing, nothing, torch.empty(0))
    assert torch.equal(logits, random(2, 3))


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        kernels.exclude(random(2, 3), torch.zeros(2, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
