"""Arrival times: their rate, their burstiness, their ends."""

import math
from itertools import pairwise
from random import Random
from statistics import mean, pstdev

import pytest

from common.types.options import ConfigError
from loadtest.bench.arrivals import Rate, arrivals, parse_rate


def pauses(rate: Rate, burstiness: float = 1.0, count: int = 4000) -> list[float]:
    times = [0.0, *arrivals(rate, burstiness, count, 0.0, Random(1))]
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_poisson_process_has_its_rate_and_pauses_that_deviate_as_much_as_they_last() -> None:
    found = pauses(Rate(4, 4))
    assert mean(found) == pytest.approx(1 / 4, rel=0.05)
    assert pstdev(found) == pytest.approx(mean(found), rel=0.05)


@pytest.mark.parametrize("burstiness", [0.25, 4.0])
def test_burstiness_changes_the_spread_and_not_the_rate(burstiness: float) -> None:
    found = pauses(Rate(4, 4), burstiness)
    assert mean(found) == pytest.approx(1 / 4, rel=0.08)
    assert pstdev(found) == pytest.approx(mean(found) / math.sqrt(burstiness), rel=0.08)


def test_times_ascend_and_the_same_seed_gives_the_same() -> None:
    times = list(arrivals(Rate(2, 2), 1.0, 50, 0.0, Random(3)))
    assert times == sorted(times) == list(arrivals(Rate(2, 2), 1.0, 50, 0.0, Random(3)))


def test_a_duration_ends_them() -> None:
    times = list(arrivals(Rate(100, 100), 1.0, 0, 10.0, Random(1)))
    assert max(times) < 10
    assert len(times) == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize(("num_requests", "duration_s"), [(4000, 0.0), (0, 800.0)])
def test_a_rising_rate_rises(num_requests: int, duration_s: float) -> None:
    times = list(arrivals(Rate(1, 9), 1.0, num_requests, duration_s, Random(1)))
    tenth = len(times) // 10
    first, last = times[tenth] - times[0], times[-1] - times[-1 - tenth]
    assert first > 2.5 * last


def test_infinitely_many_a_second_come_at_once() -> None:
    assert list(arrivals(Rate(math.inf, math.inf), 1.0, 3, 0.0, Random(1))) == [0, 0, 0]


def test_all_at_once_needs_a_number() -> None:
    with pytest.raises(ConfigError, match="no end"):
        list(arrivals(Rate(math.inf, math.inf), 1.0, 0, 5.0, Random(1)))


def test_texts() -> None:
    assert parse_rate("2.5") == Rate(2.5, 2.5)
    assert parse_rate("1..8") == Rate(1, 8)
    assert str(parse_rate("1..8")) == "1..8"
    assert str(parse_rate("4.0")) == "4"


@pytest.mark.parametrize("text", ["0", "-1", "x", "1..", "..4", "1..inf", "0..4", "nan"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--rate"):
        parse_rate(text)
