"""The last minutes of a router's counts, a point a second, as rates and levels over time. Pure: `now` comes in."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from common.obs.latency import REMEMBERED_S


@dataclass(frozen=True, slots=True)
class Point:
    """Counts since the start, and levels, at one moment."""

    at: float
    num_output_tokens: int = 0
    num_prompt_tokens: int = 0
    num_handoff_bytes: int = 0
    num_retries: int = 0
    num_refused: int = 0
    num_ended: int = 0
    num_relieved: int = 0
    num_running: int = 0
    num_waiting: int = 0
    decode_used: float = 0.0
    prefill_used: float = 0.0


class History:
    """Points in the order of time."""

    def __init__(self, first: Point) -> None:
        self._points = [first]

    def record(self, point: Point) -> None:
        self._points.append(point)
        if len(self._points) > 2 * REMEMBERED_S:
            del self._points[:REMEMBERED_S]

    @property
    def last(self) -> Point:
        return self._points[-1]

    def before(self, at: float) -> Point:
        """The latest point no later than this, or the first there is."""
        return self._points[max(0, bisect_right(self._points, at, key=lambda point: point.at) - 1)]

    def rate(self, count: Callable[[Point], int], span_s: float, now: float) -> float:
        """How fast a count rose over the last so many seconds, or over the time there is; 0 before any has passed."""
        begin, end = self.before(now - span_s), self.last
        return (count(end) - count(begin)) / (end.at - begin.at) if end.at > begin.at else 0.0

    def rates(self, count: Callable[[Point], int], span_s: int, step_s: int, now: float) -> list[float]:
        """The same a step at a time, oldest first; zero for times before the first point."""
        edges = [self.before(now - span_s + place * step_s) for place in range(span_s // step_s + 1)]
        return [
            (count(end) - count(begin)) / (end.at - begin.at) if end.at > begin.at else 0.0
            for begin, end in pairwise(edges)
        ]

    def levels(self, level: Callable[[Point], float], span_s: int, step_s: int, now: float) -> list[float]:
        """A level at the end of each step, oldest first; zero before the first point."""
        ends = [now - span_s + (place + 1) * step_s for place in range(span_s // step_s)]
        return [level(self.before(end)) if end >= self._points[0].at else 0.0 for end in ends]
