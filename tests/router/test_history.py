"""Rates and levels over the last minutes."""

import pytest

from common.obs.latency import REMEMBERED_S
from router.history import History, Point


def filled(seconds: int, per_s: int = 10, start: float = 0.0) -> History:
    history = History(Point(start))
    for second in range(1, seconds + 1):
        history.record(Point(start + second, num_output_tokens=per_s * second, num_running=second))
    return history


def tokens(point: Point) -> int:
    return point.num_output_tokens


def test_nothing_has_no_rate() -> None:
    history = History(Point(5.0))
    assert history.rate(tokens, 10, 5.0) == 0.0
    assert history.rates(tokens, 15, 5, 5.0) == [0.0, 0.0, 0.0]


def test_a_young_rate_is_over_the_time_there_is() -> None:
    assert filled(4).rate(tokens, 60, 4.0) == pytest.approx(10)


def test_a_burst_is_seen_in_its_step() -> None:
    history = filled(20, per_s=0)
    history.record(Point(21.0, num_output_tokens=100))
    history.record(Point(25.0, num_output_tokens=100))
    assert history.rates(tokens, 20, 5, 25.0) == pytest.approx([0, 0, 0, 20])


def test_levels_are_those_at_the_end_of_each_step() -> None:
    levels = filled(10, start=100.0).levels(lambda point: point.num_running, 15, 5, 110.0)
    assert levels == [0, 5, 10]


def test_old_points_are_forgotten_and_the_recent_ones_kept() -> None:
    seconds = 5 * REMEMBERED_S
    history = filled(seconds)
    assert history.before(0.0).at > seconds - 2 * REMEMBERED_S - 1
    assert history.before(seconds - REMEMBERED_S).at == seconds - REMEMBERED_S
    assert history.last.at == seconds


def test_counts_that_come_late_are_in_the_step_they_came_in() -> None:
    """Points need not be a second apart: a busy loop records late, and nothing is lost or counted twice."""
    history = History(Point(0.0))
    for at, count in ((0.9, 10), (4.999, 30), (5.0, 30), (12.5, 80), (19.0, 100)):
        history.record(Point(at, num_output_tokens=count))
    rates = history.rates(tokens, 20, 5, 20.0)
    assert len(rates) == 4
    assert rates == pytest.approx([30 / 5, 0, 50 / 7.5, 20 / 6.5])


def test_what_lies_before_the_first_point_is_nothing() -> None:
    history = filled(3, start=100.0)
    assert history.rates(tokens, 20, 5, 103.0) == pytest.approx([0, 0, 0, 10])
    assert history.levels(lambda point: point.num_running, 20, 5, 103.0) == [0, 0, 0, 3]
    assert history.before(-1e9) == history.before(100.0)


def test_a_moment_before_the_last_point_and_long_after_it() -> None:
    history = filled(10)
    assert history.rate(tokens, 3, 10.0) == pytest.approx(10)
    assert history.rate(tokens, 3, 1000.0) == 0.0, "nothing was recorded for so long that nothing is known"
    assert history.levels(lambda point: point.num_running, 10, 5, 1000.0) == [10, 10]


def test_two_points_at_one_moment_divide_by_nothing() -> None:
    history = History(Point(1.0))
    history.record(Point(1.0, num_output_tokens=50))
    assert history.rate(tokens, 10, 1.0) == 0.0
    assert history.rates(tokens, 10, 5, 1.0) == [0.0, 0.0]
    assert history.last.num_output_tokens == 50


def test_forgetting_is_not_seen_in_what_is_shown() -> None:
    short, long = filled(REMEMBERED_S), filled(2 * REMEMBERED_S + 5)
    for history in (short, long):
        now = history.last.at
        assert history.rates(tokens, 300, 5, now) == pytest.approx([10] * 60)
        assert history.rate(tokens, 60, now) == pytest.approx(10)
