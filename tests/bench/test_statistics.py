"""Percentiles, spreads, and counts by second."""

import pytest

from loadtest.bench.statistics import Spread, most_at_once, per_second, percentile
from tests.bench.records import record


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 50, 0), ([3], 99, 3), ([1, 2], 50, 1.5), ([1, 2, 3, 4], 25, 1.75), ([1, 2, 3], 100, 3), ([0, 10], 99, 9.9)],
)
def test_percentiles_lie_between_neighbours(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_a_spread_needs_no_order() -> None:
    spread = Spread.of([4, 1, 3, 2])
    assert (spread.count, spread.mean, spread.median) == (4, 2.5, 2.5)
    assert spread.deviation == pytest.approx(1.118, abs=1e-3)
    assert spread.percentiles[99.0] == pytest.approx(3.97)


def test_a_spread_of_nothing() -> None:
    assert Spread.of([]) == Spread(0, 0.0, 0.0, 0.0, {50.0: 0, 90.0: 0, 95.0: 0, 99.0: 0})


def test_seconds_count_tokens_when_they_came_and_requests_while_they_ran() -> None:
    records = [record(10.5, 11.2, 11.4, start=10.1), record(12.9, start=10.2, out=4), record(start=10.3)]
    tokens, running = per_second(records, 10.0)
    assert tokens == [1.0, 2.0, 4.0]
    assert running == [2, 2, 1]


def test_the_peak_of_requests_in_flight() -> None:
    assert most_at_once([record(2.0, start=1.0), record(3.0, start=2.0), record(9.0, start=2.5)]) == 2
    assert most_at_once([]) == 0
