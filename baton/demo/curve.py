"""Draws the loss curve of a training as SVG: one line per column of its CSV. Pure."""

import csv
from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 720, 360, 48
COLOURS = ("#9aa3ad", "#1f6feb", "#8250df", "#bf5b04", "#1a7f37", "#cf222e")
Line = list[tuple[float, float]]


def draw(table: str) -> str:
    """From the text of a `loss.csv` to the text of an SVG."""
    rows = list(csv.DictReader(table.splitlines()))
    names = [name for name in rows[0] if name not in ("step", "tokens", "seconds")] if rows else []
    lines = {name: [(float(row["step"]), float(row[name])) for row in rows if row[name]] for name in names}
    points = [point for line in lines.values() for point in line]
    if not points:
        raise ValueError("the table has no losses")
    last_step, most = max(step for step, _ in points), max(loss for _, loss in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_axes(last_step, most),
    ]
    for index, (name, line) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        label = "training" if name == "loss" else f"{name}, kept back"
        parts.append(_polyline(line, last_step, most, colour, bold=name != "loss"))
        parts.append(f'<text x="{WIDTH - 170}" y="{MARGIN + 16 * index}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(last_step: float, most: float) -> Sequence[str]:
    parts = []
    for loss in range(int(most) + 1):
        y = _y(loss, most)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eaeef2"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#57606a">{loss}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(share * last_step, last_step)
        step = f"{share * last_step:.0f}"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle" fill="#57606a">{step}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle" fill="#57606a">step</text>')
    parts.append(f'<text x="{MARGIN}" y="{MARGIN - 16}" fill="#57606a">loss, nats per token</text>')
    return parts


def _polyline(line: Line, last_step: float, most: float, colour: str, *, bold: bool) -> str:
    points = " ".join(f"{_x(step, last_step):.1f},{_y(loss, most):.1f}" for step, loss in line)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{2 if bold else 1}"/>'


def _x(step: float, last_step: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * step / last_step


def _y(loss: float, most: float) -> float:
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * loss / most
