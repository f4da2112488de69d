"""Durations counted since the start and over the last minutes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.obs.latency import FINE, REMEMBERED_S, Latency
from common.obs.metrics import LATENCY_BOUNDS, TOKEN_BOUNDS


def test_bounds_rise_and_the_scraped_ones_are_some_of_them() -> None:
    assert list(FINE) == sorted(set(FINE))
    assert set(LATENCY_BOUNDS) | set(TOKEN_BOUNDS) <= set(FINE)
    assert all(high / low < 1.16 for low, high in pairwise(FINE))


def test_everything_is_counted_since_the_start() -> None:
    latency = Latency()
    for second, seconds in enumerate((0.001, 0.0011, 0.3, 5000.0)):
        latency.observe(seconds, float(second))
    counts = latency.counts()
    assert counts.total == 4
    assert counts.sum == pytest.approx(5000.3021)
    assert counts.at_most((0.001, 0.0025, 0.25, 0.5, 250.0)) == [1, 2, 2, 3, 3]


def test_nothing_has_no_percentile() -> None:
    assert Latency().counts().percentile(0.5) is None
    assert Latency().recent(60, 100.0).percentile(0.99) is None


@settings(max_examples=100)
@given(st.lists(st.floats(0.0002, 500), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_known_to_its_bucket(values: list[float], share: float) -> None:
    latency = Latency()
    for value in values:
        latency.observe(value, 1.0)
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    found = latency.counts().percentile(share)
    assert found is not None
    assert found / 1.16 <= exact <= found


def test_the_last_minutes_are_apart_from_what_was_before() -> None:
    latency = Latency()
    latency.observe(1.0, 10.5)
    latency.observe(2.0, 60.2)
    latency.observe(2.0, 69.9)
    assert latency.recent(10, 69.9).total == 2
    assert latency.recent(9, 69.9).total == 1
    assert latency.recent(60, 69.9).total == 3
    assert latency.recent(60, 200.0).total == 0
    assert latency.counts().total == 3


def test_reading_in_the_middle_of_a_second_loses_nothing() -> None:
    latency = Latency()
    for _ in range(3):
        latency.observe(0.1, 5.2)
        latency.recent(10, 5.4)
    assert latency.recent(1, 5.9).total == latency.counts().total == 3


def test_history_is_told_oldest_first() -> None:
    latency = Latency()
    for now in (101.0, 106.0, 107.0, 114.0):
        latency.observe(0.5, now)
    assert [step.total for step in latency.history(15, 5, 114.0)] == [1, 2, 1]
    assert [step.total for step in latency.history(15, 5, 119.0)] == [2, 1, 0]


def test_what_is_forgotten_is_still_counted() -> None:
    latency = Latency()
    for now in range(REMEMBERED_S * 3):
        latency.observe(0.5, float(now))
    assert latency.counts().total == REMEMBERED_S * 3
    assert latency.recent(REMEMBERED_S * 3, REMEMBERED_S * 3.0).total <= REMEMBERED_S + 1
