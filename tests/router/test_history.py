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
