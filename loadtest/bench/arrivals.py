"""When requests come: a rate named by one text, and the times it makes. Pure.

4          a Poisson process of 4 requests/s, or gamma-distributed pauses when the burstiness is not 1
1..8       the same, rising from 1 to 8 over the run
inf        all at once
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from common.types.options import ConfigError


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second at the beginning and at the end of a run."""

    first: float
    last: float

    @property
    def rises(self) -> bool:
        return self.first != self.last

    def __str__(self) -> str:
        return f"{self.first:g}..{self.last:g}" if self.rises else f"{self.first:g}"


def parse_rate(text: str) -> Rate:
    first, dots, last = text.partition("..")
    try:
        rate = Rate(float(first), float(last if dots else first))
    except ValueError:
        raise ConfigError(f"--rate is {text!r}", "Write requests per second: 4, or 1..8, or inf") from None
    if not (rate.first > 0 and rate.last > 0) or (rate.rises and math.inf in (rate.first, rate.last)):
        raise ConfigError(f"--rate is {text!r}", "It must be above 0, and a rising one finite")
    return rate


def arrivals(rate: Rate, burstiness: float, num_requests: int, duration_s: float, random: Random) -> Iterator[float]:
    """Seconds from the start of the run, ascending; either bound may be 0 for none, not both.

    A rate rises with time when there is a duration, otherwise from request to request.
    """
    at, number = 0.0, 0
    while not num_requests or number < num_requests:
        if duration_s:
            progress = min(1.0, at / duration_s)
        else:
            progress = number / max(1, num_requests - 1)
        now = rate.first if not rate.rises else rate.first + (rate.last - rate.first) * progress
        at += 0.0 if math.isinf(now) else random.gammavariate(burstiness, 1 / (now * burstiness))
        if duration_s and at >= duration_s:
            return
        yield at
        number += 1
        if math.isinf(now) and not num_requests:
            raise ConfigError("--rate inf has no end", "Say how many --requests")
