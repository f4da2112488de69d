"""Spreads of measured times, and counts over a run's seconds. Pure; percentiles as numpy's default makes them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.bench.record import Record

PERCENTILES = (50.0, 90.0, 95.0, 99.0)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values, between neighbours on a straight line; 0 of none."""
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * share / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class Spread:
    """Of values in the unit they came in; all zero when there were none."""

    count: int
    mean: float
    median: float
    deviation: float
    percentiles: dict[float, float]

    @staticmethod
    def of(values: Iterable[float], shares: Sequence[float] = PERCENTILES) -> "Spread":
        ordered = sorted(values)
        count = len(ordered)
        mean = math.fsum(ordered) / count if count else 0.0
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in ordered) / count) if count else 0.0
        return Spread(count, mean, percentile(ordered, 50), deviation, {p: percentile(ordered, p) for p in shares})


def per_second(records: Iterable[Record], begin_s: float) -> tuple[list[float], list[int]]:
    """Tokens that arrived in each second of the run, and the requests that were running in it.

    A message with several tokens counts all of them when it came: each message has an equal share of the answer.
    """
    tokens: list[float] = []
    running: list[int] = []
    for record in records:
        if not record.arrivals:
            continue
        first, last = int(record.start_s - begin_s), int(record.arrivals[-1] - begin_s)
        missing = last + 1 - len(tokens)
        tokens.extend([0.0] * missing)
        running.extend([0] * missing)
        share = record.num_output / len(record.arrivals)
        for arrival in record.arrivals:
            tokens[int(arrival - begin_s)] += share
        for second in range(first, last + 1):
            running[second] += 1
    return tokens, running


def most_at_once(records: Iterable[Record]) -> int:
    """The peak of requests in flight; one that ends when another starts makes room for it."""
    edges: list[tuple[float, int]] = []
    for record in records:
        if record.arrivals:
            edges += [(record.start_s, 1), (record.arrivals[-1], -1)]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most
