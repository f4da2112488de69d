"""Plots as inline SVG, drawn here: lines, steps and dots on two axes with round ticks. Pure.

Colours, fonts and dark or light are the page's style sheet's, by class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 42
NUM_TICKS = 5
MOST_POINTS = 1500
NUM_COLOURS = 4
FAR = 3

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """Points in data units; `kind` is line, step or dots."""

    name: str
    points: Sequence[Point]
    kind: str = "line"


def plot(title: str, x_label: str, y_label: str, series: Sequence[Series], limit: float | None = None) -> str:
    """A figure with a legend when there are several series.

    `limit` draws a horizontal line, such as a goal; one far above all points is left out, or it would flatten them.
    """
    drawn = [each for each in series if each.points]
    if not drawn:
        return ""
    xs = [x for each in drawn for x, _ in each.points]
    ys = [y for each in drawn for _, y in each.points]
    if limit is not None and limit > FAR * max(ys):
        limit = None
    ys += [limit] if limit is not None else []
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(0.0, max(ys))
    scale = _Scale(x_ticks, y_ticks)
    parts = [_axes(scale, x_label, y_label)]
    if limit is not None:
        y = scale.y(limit)
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    parts += [_draw(scale, each, place % NUM_COLOURS) for place, each in enumerate(drawn)]
    legend = "".join(
        f'<span class="key k{place % NUM_COLOURS}">{escape(each.name)}</span>' for place, each in enumerate(drawn)
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    keys = f'<div class="keys">{legend}</div>' if len(drawn) > 1 else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{keys}</figure>"


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that span the values, about NUM_TICKS of them."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def shares(values: Sequence[float]) -> list[Point]:
    """How many percent of the values are at most so large; thinned out where there are very many."""
    ordered = sorted(values)
    count = len(ordered)
    points = [(value, 100 * (place + 1) / count) for place, value in enumerate(ordered)]
    return [(ordered[0], 0.0), *thinned(points)] if points else []


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most so many of them, the last always among them."""
    stride = max(1, math.ceil(len(points) / MOST_POINTS))
    kept = list(points[::stride])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


class _Scale:
    """From data units to the drawing's."""

    def __init__(self, x_ticks: list[float], y_ticks: list[float]) -> None:
        self.x_ticks, self.y_ticks = x_ticks, y_ticks

    def x(self, value: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _axes(scale: _Scale, x_label: str, y_label: str) -> str:
    parts = []
    for tick in scale.y_ticks:
        y = scale.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in scale.x_ticks:
        x, y = scale.x(tick), HEIGHT - BOTTOM
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 16}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    up = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {up:.0f})" x="12" y="{up:.0f}"'
    parts.append(f'<text class="label" {turned} text-anchor="middle">{escape(y_label)}</text>')
    return "".join(parts)


def _draw(scale: _Scale, series: Series, colour: int) -> str:
    points = thinned(series.points)
    if series.kind == "dots":
        dots = (f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="2.5"/>' for x, y in points)
        return f'<g class="dots d{colour}">{"".join(dots)}</g>'
    path: list[str] = []
    for place, (x, y) in enumerate(points):
        at = f"{scale.x(x):.1f}"
        if place and series.kind == "step":
            path.append(f"H{at}V{scale.y(y):.1f}")
        else:
            path.append(f"{'L' if place else 'M'}{at} {scale.y(y):.1f}")
    marks = ""
    if series.kind == "line" and len(points) <= 12:
        dots = (f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3"/>' for x, y in points)
        marks = f'<g class="dots d{colour}">{"".join(dots)}</g>'
    return f'<path class="line l{colour}" d="{"".join(path)}"/>{marks}'
