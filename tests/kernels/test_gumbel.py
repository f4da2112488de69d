"""The noise: uniform, independent, finite, and the same wherever and whenever it is computed."""

import numpy as np
import numpy.typing as npt
import pytest

from common.kernels.reference.gumbel import draw_keys, gumbel, hash_entries, to_gumbel

NUM_KEYS = 1 << 17


def keys(count: int, seed: int = 0, choice: int = 0, index: int = 0) -> npt.NDArray[np.uint32]:
    """Keys of consecutive seeds."""
    seeds = np.arange(seed, seed + count, dtype=np.uint64)
    return draw_keys(seeds, np.full(count, choice, dtype=np.uint64), np.full(count, index, dtype=np.uint64))


def excess(counts: npt.NDArray[np.int64]) -> float:
    """How many standard deviations a chi-squared statistic lies from where equal shares put it."""
    expected = counts.sum() / len(counts)
    freedom = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


def test_noise_of_a_key_never_changes() -> None:
    key = draw_keys(*(np.array([number], dtype=np.uint64) for number in (42, 1, 7)))
    assert key.tolist() == [[2669094650, 454583060]]
    hashed = hash_entries(key[:, 0], key[:, 1], np.arange(4, dtype=np.uint32))
    assert hashed.tolist() == [1542219064, 2295314478, 950694233, 1672448232]


@pytest.mark.parametrize("entries", [(0, 1), (1, 2), (100, 101), (0, 1 << 15), (0, 1 << 16), (5, 1000)])
def test_two_entries_are_independent_over_keys(entries: tuple[int, int]) -> None:
    drawn = keys(NUM_KEYS)
    first, second = (
        hash_entries(drawn[:, 0], drawn[:, 1], np.array([entry], dtype=np.uint32)).astype(np.int64) for entry in entries
    )
    for high in (first >> 26, first & 63):
        for low in (second >> 26, second & 63, (first ^ second) >> 26):
            assert abs(excess(np.bincount(high * 64 + low, minlength=4096))) < 4


@pytest.mark.parametrize("other", [{"seed": 1}, {"choice": 1}, {"index": 1}, {"index": 2}, {"seed": 1 << 33}])
def test_neighbouring_draws_are_independent(other: dict[str, int]) -> None:
    drawn = [
        hash_entries(key[:, 0], key[:, 1], np.array([7], dtype=np.uint32))
        for key in (keys(NUM_KEYS), keys(NUM_KEYS, **other))
    ]
    first, second = (numbers.astype(np.int64) >> 26 for numbers in drawn)
    assert abs(excess(np.bincount(first * 64 + second, minlength=4096))) < 4


def test_choice_and_index_do_not_stand_in_for_each_other() -> None:
    assert keys(4, choice=1, index=2).tolist() != keys(4, choice=2, index=1).tolist()
    assert keys(1, seed=1, choice=0).tolist() != keys(1, seed=0, choice=1).tolist()


def test_entries_of_one_key_are_uniform_and_distinct() -> None:
    key = keys(1)[0]
    hashed = hash_entries(key[:1], key[1:], np.arange(1 << 18, dtype=np.uint32))
    assert len(np.unique(hashed)) == 1 << 18
    assert abs(excess(np.bincount(hashed >> 20, minlength=4096))) < 4


def test_noise_has_the_moments_of_gumbel() -> None:
    drawn = keys(16)
    noise = gumbel(drawn[:, :1], drawn[:, 1:], np.arange(1 << 16, dtype=np.uint32)).astype(np.float64)
    assert abs(noise.mean() - 0.5772157) < 0.005
    assert abs(noise.var() - np.pi**2 / 6) < 0.02
    assert np.isclose((noise < 0).mean(), np.exp(-1), atol=0.002)
    assert np.isclose((noise > 3).mean(), -np.expm1(-np.exp(-3)), atol=0.001)


def test_extreme_hashes_give_finite_noise_in_order() -> None:
    hashed = np.array([0, 1, 2, 1 << 10, 1 << 24, 1 << 31, (1 << 32) - 256, (1 << 32) - 1], dtype=np.uint32)
    noise = to_gumbel(hashed)
    assert np.isfinite(noise).all()
    assert (np.diff(noise) <= 0).all()
    assert noise[0] == pytest.approx(22.18, abs=0.01)
    assert -3 < noise[-1] < -2.7


@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 33, 1000])
def test_an_entrys_bits_do_not_depend_on_its_place(width: int) -> None:
    key = keys(3)
    entries = np.arange(4096, dtype=np.uint32)
    whole = gumbel(key[:, :1], key[:, 1:], entries)
    for start in (0, 1, 7, 4096 - width):
        part = gumbel(key[1, 0], key[1, 1], entries[start : start + width])
        assert part.tobytes() == whole[1, start : start + width].tobytes()
