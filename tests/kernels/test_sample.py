"""Filters against transformers' own, draws against the softmax they claim to follow."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers

from common.kernels.reference import sample
from common.kernels.reference.gumbel import draw_keys
from common.kernels.reference.sample import Draws, cutoffs, draw_tokens

Ints = npt.NDArray[np.int64]


def random_logits(rows: int, vocabulary: int, spread: float = 3.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * spread


class Filters(NamedTuple):
    """One set of filters; the defaults filter nothing."""

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def draws(filters: list[Filters], temperature: float = 1.0) -> Draws:
    """One draw for each of the filters, of consecutive seeds."""
    zeros = np.zeros(len(filters), dtype=np.uint64)
    return Draws(
        temperature=np.full(len(filters), temperature, dtype=np.float32),
        top_k=np.array([one.top_k for one in filters], dtype=np.int64),
        top_p=np.array([one.top_p for one in filters], dtype=np.float32),
        min_p=np.array([one.min_p for one in filters], dtype=np.float32),
        keys=draw_keys(np.arange(len(filters), dtype=np.uint64), zeros, zeros),
    )


def pick(own: Draws, rows: Ints) -> Draws:
    return Draws(own.temperature[rows], own.top_k[rows], own.top_p[rows], own.min_p[rows], own.keys[rows])


def draw(logits: torch.Tensor, count: int, temperature: float = 1.0, filters: Filters = Filters()) -> Ints:
    """`count` draws from the first row, or one from each row when there are as many."""
    rows = np.arange(count) if len(logits) == count else np.zeros(count, dtype=np.int64)
    return draw_tokens(logits, rows, draws([filters] * count, temperature))


def kept(logits: torch.Tensor, filters: list[Filters]) -> npt.NDArray[np.bool_]:
    """Which entries each row's filters leave."""
    rows = logits.numpy()
    scaled = rows - rows.max(axis=1, keepdims=True)
    own = draws(filters)
    chosen: npt.NDArray[np.bool_] = scaled >= cutoffs(scaled, own.top_k, own.top_p, own.min_p)[:, None]
    return chosen


def referee(logits: torch.Tensor, filters: Filters) -> npt.NDArray[np.bool_]:
    """The same by transformers' logits processors, in their order."""
    processors: list[Any] = []
    if filters.top_k:
        processors.append(transformers.TopKLogitsWarper(filters.top_k))
    if filters.top_p < 1:
        processors.append(transformers.TopPLogitsWarper(filters.top_p))
    if filters.min_p > 0:
        processors.append(transformers.MinPLogitsWarper(filters.min_p))
    for processor in processors:
        logits = processor(torch.zeros(len(logits), 1, dtype=torch.int64), logits)
    chosen: npt.NDArray[np.bool_] = torch.isfinite(logits).numpy()
    return chosen


FILTERS = [
    Filters(top_k=1),
    Filters(top_k=7),
    Filters(top_k=3000),
    Filters(top_p=1e-6),
    Filters(top_p=0.1),
    Filters(top_p=0.9),
    Filters(top_p=0.999),
    Filters(min_p=0.001),
    Filters(min_p=0.3),
    Filters(min_p=1.0),
    Filters(top_k=40, top_p=0.9),
    Filters(top_k=1500, top_p=0.97),
    Filters(top_p=0.8, min_p=0.05),
    Filters(top_k=20, top_p=0.95, min_p=0.02),
]


@pytest.mark.parametrize("spread", [0.3, 2.0, 8.0])
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_filters_keep_what_transformers_keeps(filters: Filters, spread: float) -> None:
    # 0.3 is nearly flat: its nucleus is far wider than the entries looked at first.
    logits = random_logits(5, 4099, spread, seed=FILTERS.index(filters))
    assert (kept(logits, [filters] * 5) == referee(logits, filters)).all()


def test_nuclei_of_every_width() -> None:
    """Rows of one call that are found at the first look, after looking wider, and only in the whole row."""
    rows = [random_logits(1, 20011, spread, seed=7) for spread in (0.2, 1.0, 2.0, 3.0, 6.0)]
    for filters in (Filters(top_p=0.9), Filters(top_p=0.99), Filters(top_k=6000, top_p=0.95)):
        together = kept(torch.cat(rows), [filters] * len(rows))
        sizes = together.sum(axis=1).tolist()
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < 1024 < sizes[0]
        for row, logits in zip(together, rows, strict=True):
            assert abs(int(row.sum()) - int(referee(logits, filters).sum())) <= 1  # sums differ in their last bit


def test_filters_of_a_small_vocabulary() -> None:
    logits = random_logits(9, 5)
    for filters in (Filters(5), Filters(9), Filters(4, 0.5), Filters(0, 0.7), Filters(0, 0.999999)):
        assert (kept(logits, [filters] * 9) == referee(logits, filters)).all(), filters


def test_rows_of_one_call_keep_their_own_filters() -> None:
    logits = random_logits(len(FILTERS), 2053)
    together = kept(logits, FILTERS)
    for row, filters in enumerate(FILTERS):
        assert (together[row] == referee(logits[row : row + 1], filters)[0]).all(), filters


def test_entries_equal_to_the_last_kept_stay() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, 0.0]])
    assert kept(logits, [Filters(top_k=2)]).tolist() == [[False, True, True, True, True, False]]
    assert kept(logits, [Filters(top_p=0.5)]).tolist() == [[False, True, True, True, True, False]]
    assert kept(torch.zeros(1, 4000), [Filters(top_p=0.01)]).all()


def share(logits: torch.Tensor, temperature: float, filters: Filters) -> npt.NDArray[np.float64]:
    """The distribution a draw should follow, by transformers' filters."""
    scaled = logits / temperature
    chosen = torch.from_numpy(referee(scaled, filters))
    weights: npt.NDArray[np.float64] = torch.softmax(scaled.double().masked_fill(~chosen, -torch.inf), 1)[0].numpy()
    return weights


SOME = [Filters(), Filters(top_k=5), Filters(top_p=0.8), Filters(min_p=0.1), Filters(9, 0.9)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("filters", SOME, ids=str)
def test_draws_follow_the_softmax(filters: Filters, temperature: float) -> None:
    logits = random_logits(1, 24, 1.5, seed=3)
    num_draws = 40_000
    drawn = draw(logits, num_draws, temperature, filters)
    counts = np.bincount(drawn, minlength=24)
    expected = share(logits, temperature, filters) * num_draws
    assert (counts[expected == 0] == 0).all()
    likely = expected > 5
    statistic = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    freedom = likely.sum() - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom) + 4


def test_draws_are_no_worse_than_multinomial() -> None:
    """The same statistic for torch's sampler and ours, over a vocabulary wide enough for many small shares."""
    logits = random_logits(1, 1000, 1.0, seed=5)
    num_draws = 60_000
    expected = torch.softmax(logits.double(), 1)[0].numpy() * num_draws
    generator = torch.Generator().manual_seed(0)
    theirs = torch.multinomial(torch.softmax(logits, 1), num_draws, replacement=True, generator=generator)[0].numpy()
    ours = draw(logits, num_draws)
    for drawn in (ours, theirs):
        statistic = ((np.bincount(drawn, minlength=1000) - expected) ** 2 / expected).sum()
        assert abs(statistic - 999) < 4 * np.sqrt(2 * 999)


def test_a_draw_is_the_same_alone_and_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = random_logits(40, 700)
    cycle = [Filters(top_k=50), Filters(top_p=0.9), Filters(), Filters(top_p=0.999), Filters(min_p=0.01)]
    mixed = draws([cycle[row % 5] for row in range(40)], 1.3)
    together = draw_tokens(logits, np.arange(40), mixed)
    for row in range(40):
        alone = draw_tokens(logits[row : row + 1], np.zeros(1, dtype=np.int64), pick(mixed, np.array([row])))
        assert alone.tolist() == [together[row]]
    monkeypatch.setattr(sample, "_CHUNK_ENTRIES", 3 * 700)
    assert draw_tokens(logits, np.arange(40), mixed).tolist() == together.tolist()
    order = np.arange(40)[::-1]
    assert draw_tokens(logits, order, pick(mixed, order)).tolist() == together[order].tolist()


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 1e-2])
def test_cold_draws_are_greedy(temperature: float) -> None:
    logits = random_logits(30, 600)
    assert draw(logits, 30, temperature).tolist() == logits.argmax(1).tolist()


def test_hot_draws_are_nearly_uniform() -> None:
    logits = random_logits(1, 8, 1.0)
    drawn = draw(logits, 16_000, 100.0)
    assert abs(np.bincount(drawn, minlength=8) - 2000).max() < 250


@pytest.mark.parametrize("filters", [Filters(top_k=1), Filters(top_p=1e-9), Filters(min_p=1.0)], ids=str)
def test_a_filter_that_leaves_one_entry_is_greedy(filters: Filters) -> None:
    logits = random_logits(30, 600)
    assert draw(logits, 30, 5.0, filters).tolist() == logits.argmax(1).tolist()


def test_excluded_entries_are_never_drawn() -> None:
    logits = random_logits(1, 50)
    logits[0, ::2] = -torch.inf
    for filters in (Filters(), Filters(top_k=40), Filters(top_p=0.9999), Filters(min_p=1e-9)):
        assert (draw(logits, 2000, 50.0, filters) % 2 == 1).all(), filters
