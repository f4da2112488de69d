"""Figures of one server from the results of `baton bench`. Pure."""

from collections.abc import Mapping
from itertools import accumulate
from statistics import median
from typing import Any

from loadtest.bench.statistics import percentile

Found = Mapping[str, Any]


def arrivals(found: Found) -> list[list[float]]:
    """Seconds since the run began at which each completed request's messages came."""
    return [
        list(accumulate(found["itls"][place], initial=found["start_times"][place] + found["ttfts"][place]))
        for place, error in enumerate(found["errors"])
        if not error and found["output_lens"][place]
    ]


def decode_tokens_per_s(found: Found) -> float:
    """Output tokens per second while every request was decoding: after the last first token, before the first last."""
    times = arrivals(found)
    if found["failed"] or not times:
        raise ValueError("a request failed")
    begin, end = max(each[0] for each in times), min(each[-1] for each in times)
    if end <= begin:
        raise ValueError("the requests were never all decoding at once")
    tokens = 0.0
    for each, length in zip(times, _lengths(found), strict=True):
        inside = sum(begin < at <= end for at in each)
        tokens += inside * (length - 1) / max(1, len(each) - 1)
    return tokens / (end - begin)


def prefill_tokens_per_s(found: Found) -> float:
    """Prompt tokens over the median time to the first token, one request at a time."""
    if found["failed"]:
        raise ValueError("a request failed")
    return float(median(found["input_lens"]) / median(found["ttfts"]))


def goodput(found: Found) -> float:
    """Requests per second that kept the limits."""
    return float(found["request_goodput"])


def good_share(found: Found) -> float:
    """Of all requests, those that kept the limits."""
    return float(found["good_requests"] / max(1, found["num_prompts"]))


def itl_ms(found: Found, share: float) -> float:
    """A percentile over all pauses between messages."""
    pauses = sorted(pause * 1000 for each in found["itls"] for pause in each)
    if found["failed"] or not pauses:
        raise ValueError("a request failed")
    return percentile(pauses, share)


def _lengths(found: Found) -> list[int]:
    return [length for length, error in zip(found["output_lens"], found["errors"], strict=True) if not error and length]
