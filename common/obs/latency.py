"""Durations as counts: since the start for scrapes, and second by second for the last minutes.

An observation is one search in a sorted tuple and two additions, because some are made for every token. Knows no clock
and no names: `now` comes with each observation, and whoever scrapes says which buckets it wants.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_DECADE = (
    1.0,
    1.1,
    1.2,
    1.35,
    1.5,
    1.65,
    1.8,
    2.0,
    2.2,
    2.5,
    2.7,
    3.0,
    3.3,
    3.6,
    4.0,
    4.4,
    5.0,
    5.5,
    6.0,
    6.8,
    7.5,
    8.2,
    9.0,
)
FINE: tuple[float, ...] = tuple(float(f"{step}e{power}") for power in range(-4, 3) for step in _DECADE)
"""Upper bounds in seconds, a tenth apart: a percentile is known to about 5 %."""
REMEMBERED_S = 600


@dataclass(frozen=True, slots=True)
class Counts:
    """Observations by bucket: the place of its bound in `FINE`, one further for all above. Buckets without any are left
    out. And their sum.
    """

    buckets: Mapping[int, int]
    sum: float

    @property
    def total(self) -> int:
        return sum(self.buckets.values())

    def at_most(self, bounds: Sequence[float]) -> list[int]:
        """How many were at most each of these bounds, which are some of `FINE`."""
        places = [bisect_left(FINE, bound) for bound in bounds]
        return [sum(count for bucket, count in self.buckets.items() if bucket <= place) for place in places]

    def percentile(self, share: float) -> float | None:
        """The bound below which this share of the observations lies; None when there were none."""
        wanted, seen = share * self.total, 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return FINE[min(bucket, len(FINE) - 1)]
        return None


class Latency:
    """One kind of duration. One thread observes and reads."""

    def __init__(self) -> None:
        self._second = 0
        self._now = [0] * (len(FINE) + 1)
        self._sum = 0.0
        self._past = [0] * (len(FINE) + 1)
        self._seconds: deque[tuple[int, dict[int, int]]] = deque()

    def observe(self, seconds: float, now: float) -> None:
        if now - self._second >= 1:
            self._turn(int(now))
        self._now[bisect_left(FINE, seconds)] += 1
        self._sum += seconds

    def counts(self) -> Counts:
        """All since the start."""
        together = map(int.__add__, self._past, self._now)
        return Counts({bucket: count for bucket, count in enumerate(together) if count}, self._sum)

    def recent(self, span_s: int, now: float) -> Counts:
        """Those of the last so many whole seconds, the running one included."""
        self._turn(int(now))
        return _merged(counts for second, counts in self._seconds if second > int(now) - span_s)

    def history(self, span_s: int, step_s: int, now: float) -> list[Counts]:
        """The same, `step_s` at a time, oldest first; the last one ends now."""
        self._turn(int(now))
        steps: list[list[dict[int, int]]] = [[] for _ in range(span_s // step_s)]
        for second, counts in self._seconds:
            place = len(steps) - 1 - (int(now) - second) // step_s
            if 0 <= place < len(steps):
                steps[place].append(counts)
        return [_merged(step) for step in steps]

    def _turn(self, second: int) -> None:
        """Puts the running second away. Reading closes it too: then two entries have its number."""
        if any(self._now):
            self._seconds.append((self._second, {bucket: count for bucket, count in enumerate(self._now) if count}))
            self._past = list(map(int.__add__, self._past, self._now))
            self._now = [0] * len(self._now)
        self._second = second
        while self._seconds and self._seconds[0][0] < second - REMEMBERED_S:
            self._seconds.popleft()


def _merged(seconds: Iterable[dict[int, int]]) -> Counts:
    """Their sum is not kept by the second: zero."""
    buckets: dict[int, int] = {}
    for counts in seconds:
        for bucket, count in counts.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
    return Counts(buckets, 0.0)
