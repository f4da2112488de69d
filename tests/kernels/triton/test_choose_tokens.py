"""Tokens chosen on a device are those the reference chooses, draw by draw, in the interpreter."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from common.kernels import cutoffs
from common.kernels.choose_tokens import choose_tokens
from common.kernels.reference import choose_tokens as reference
from common.kernels.reference.choose_tokens import DeviceDraws
from common.kernels.reference.gumbel import draw_keys
from tests.kernels.triton.cases import random, spread


class Draw(NamedTuple):
    """One draw; the defaults filter nothing."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def draws(wanted: list[Draw], seed: int = 0) -> DeviceDraws:
    """Of consecutive seeds."""
    seeds, zeros = np.arange(seed, seed + len(wanted), dtype=np.uint64), np.zeros(len(wanted), dtype=np.uint64)
    return DeviceDraws(
        temperature=torch.tensor([one.temperature for one in wanted]),
        top_k=torch.tensor([one.top_k for one in wanted], dtype=torch.int32),
        top_p=torch.tensor([one.top_p for one in wanted]),
        min_p=torch.tensor([one.min_p for one in wanted]),
        keys=torch.from_numpy(draw_keys(seeds, zeros, zeros).view(np.int32).copy()),
    )


DRAWS = [
    Draw(),
    Draw(temperature=0.0, top_k=5),
    Draw(temperature=1.7),
    Draw(top_k=1),
    Draw(top_k=6),
    Draw(temperature=0.6, top_p=0.9),
    Draw(top_p=1e-6),
    Draw(min_p=0.2),
    Draw(temperature=2.0, top_k=20, top_p=0.8, min_p=0.01),
    Draw(top_k=100_000, top_p=0.7),
]


@pytest.mark.parametrize("spread_of_logits", [0.3, 3.0])
@pytest.mark.parametrize("entries", [1, 5, 64, 65, 200, 777])
def test_tokens_are_the_references(entries: int, spread_of_logits: float) -> None:
    logits = random(3, entries, seed=entries) * spread_of_logits
    sources = torch.arange(len(DRAWS)) % 3
    chosen = draws(DRAWS, seed=entries)
    out = choose_tokens(spread(logits), sources, chosen)
    assert out.tolist() == reference.choose_tokens(logits, sources, chosen).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_excluded_entries_are_never_chosen(dtype: torch.dtype) -> None:
    logits = random(2, 150, dtype=dtype)
    logits[:, ::2] = -torch.inf
    wanted = [Draw(50.0), Draw(50.0, top_k=60), Draw(50.0, top_p=0.9999), Draw(0.0)]
    out = choose_tokens(logits, torch.tensor([0, 1, 1, 0]), draws(wanted))
    assert (out % 2 == 1).all()
    assert out.tolist() == reference.choose_tokens(logits, torch.tensor([0, 1, 1, 0]), draws(wanted)).tolist()


def test_rows_that_hold_nothing_to_choose() -> None:
    logits = random(4, 70)
    logits[0, 3], logits[1], logits[2, 69] = torch.nan, -torch.inf, torch.inf
    for wanted in (Draw(), Draw(0.0), Draw(top_k=3)):
        out = choose_tokens(logits, torch.arange(4), draws([wanted] * 4))
        assert out[:3].tolist() == [-1, -1, -1]
        assert out[3] >= 0


def test_the_lowest_id_wins_among_equals() -> None:
    logits = torch.zeros(1, 300)
    logits[0, [70, 71, 200]] = 2.0
    assert choose_tokens(logits, torch.zeros(1, dtype=torch.int64), draws([Draw(0.0)])).tolist() == [70]


def test_entries_equal_to_the_last_kept_stay() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, 0.0]]) * 0.01
    sources = torch.zeros(12, dtype=torch.int64)
    for wanted in (Draw(top_k=2), Draw(top_p=0.3)):
        out = choose_tokens(logits, sources, draws([wanted] * 12))
        assert len(set(out.tolist())) > 2
        assert set(out.tolist()) <= {1, 2, 3, 4}


@pytest.mark.parametrize("wanted", [Draw(top_k=300), Draw(top_p=0.8), Draw(top_k=500, top_p=0.9)])
def test_rows_so_flat_that_they_are_read_bit_by_bit(wanted: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three ways to a cutoff agree: few groups, many, and any number."""
    logits, sources = random(2, 900) * 0.1, torch.tensor([0, 1])
    expected = reference.choose_tokens(logits, sources, draws([wanted] * 2)).tolist()
    constant = type(cutoffs._FEW)
    for few, many in ((64, 256), (2, 16), (2, 4)):
        monkeypatch.setattr(cutoffs, "_FEW", constant(few))
        monkeypatch.setattr(cutoffs, "_MANY", constant(many))
        assert choose_tokens(logits, sources, draws([wanted] * 2)).tolist() == expected


def test_no_rows() -> None:
    assert choose_tokens(random(2, 9), torch.empty(0, dtype=torch.int64), draws([])).shape == (0,)
