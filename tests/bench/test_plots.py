"""Plots: round ticks, points where they belong, nothing that needs another file."""

import re
from xml.etree import ElementTree

import pytest

from loadtest.bench.plots import HEIGHT, MOST_POINTS, WIDTH, Series, plot, shares, thinned, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 9.1, [0, 2, 4, 6, 8, 10]),
        (0, 0.037, [0, 0.01, 0.02, 0.03, 0.04]),
        (1, 3, [1, 1.5, 2, 2.5, 3]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (7, 7, [6, 8, 10, 12, 14]),
    ],
)
def test_ticks_are_round_and_span_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_shares_rise_to_all() -> None:
    assert shares([3, 1]) == [(1, 0.0), (1, 50.0), (3, 100.0)]
    assert shares([]) == []


def test_many_points_are_thinned_and_the_last_stays() -> None:
    points = [(float(x), 0.0) for x in range(10_000)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 1
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@pytest.mark.parametrize("kind", ["line", "step", "dots"])
def test_a_plot_is_well_formed_and_inside_its_frame(kind: str) -> None:
    series = [Series("a <b>", [(0, 1), (5, 3), (9, 2)], kind), Series("c", [(2, 2)], kind)]
    figure = plot("Title & more", "s", "ms", series, limit=5)
    root = ElementTree.fromstring(figure)
    assert "Title & more" in "".join(root.itertext())
    assert "a <b>" in "".join(root.itertext())
    xs = [float(x) for x in re.findall(r'(?:cx|x1|x2)="([\d.]+)"', figure)]
    ys = [float(y) for y in re.findall(r'(?:cy|y1|y2)="([\d.]+)"', figure)]
    assert 0 <= min(xs) <= max(xs) <= WIDTH
    assert 0 <= min(ys) <= max(ys) <= HEIGHT


def test_higher_values_are_drawn_higher() -> None:
    figure = plot("t", "x", "y", [Series("a", [(0, 1), (1, 9)], "dots")])
    low, high = (float(y) for y in re.findall(r'cy="([\d.]+)"', figure))
    assert high < low


@pytest.mark.parametrize(("limit", "drawn"), [(5, True), (27, True), (28, False), (None, False)])
def test_a_goal_is_drawn_unless_it_is_far_away(limit: float | None, drawn: bool) -> None:
    figure = plot("t", "x", "y", [Series("a", [(0, 1), (1, 9)])], limit)
    assert ('class="limit"' in figure) is drawn


def test_nothing_to_draw() -> None:
    assert plot("t", "x", "y", [Series("a", [])]) == ""
