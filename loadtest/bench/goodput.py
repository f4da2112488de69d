"""Which requests were good: the limits a user sets, and who keeps them. Pure."""

from collections.abc import Mapping, Sequence

from common.types.options import ConfigError
from loadtest.bench.record import Record

METRICS = ("ttft", "tpot", "e2el")


def parse_limits(texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds by metric, from texts such as ttft:1000."""
    limits: dict[str, float] = {}
    for text in texts:
        metric, _, number = text.partition(":")
        try:
            limits[metric] = float(number)
        except ValueError:
            limits[metric] = -1.0
        if metric not in METRICS or not limits[metric] >= 0:
            raise ConfigError(f"--goodput has {text!r}", f"Write KEY:MS; the keys are {', '.join(METRICS)}")
    return limits


def is_good(record: Record, limits_ms: Mapping[str, float]) -> bool:
    """Answers of one token keep every limit per token."""
    if not record.ok:
        return False
    seconds = {"ttft": record.ttft_s, "tpot": record.tpot_s or 0.0, "e2el": record.latency_s}
    return all(seconds[metric] * 1000 <= limit for metric, limit in limits_ms.items())
