"""The report of a bench: numbers, tables and plots of every run, and of the sweep when there were several. Pure.

Made from results alone, so that a results file can be shown again later.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from loadtest.bench.document import document, grid, heading, paragraph, plots, tiles
from loadtest.bench.plots import Series, plot, shares
from loadtest.bench.result import METRICS
from loadtest.bench.summary import NAMES, doubts

Found = Mapping[str, Any]
COLUMNS = (("mean", "mean"), ("p50", "median"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"))


def report(title: str, results: Sequence[Found]) -> str:
    """The whole page."""
    body = [heading(title, 1)]
    if results:
        first = results[0]
        body.append(paragraph(f"{first['model_id']} over {first['backend']}, {first['date']}"))
    if len(results) > 1:
        body += [heading("All runs"), _runs(results), plots(_sweep(results))]
    for found in results:
        body += _run(found)
    return document(title, body)


def _load(found: Found) -> str:
    most = found["max_concurrency"]
    limit = f"at most {most} at once" if most else ""
    rate = found["request_rate"]
    open_loop = f"{rate:g} requests/s" if isinstance(rate, float) else "" if rate == "inf" else str(rate)
    return ", ".join(filter(None, (open_loop, limit))) or "all at once"


def _run(found: Found) -> list[str]:
    times = [(NAMES[metric], *(f"{found[f'{key}_{metric}_ms']:.2f}" for _, key in COLUMNS)) for metric in METRICS]
    lengths = f"{found['total_input_tokens']} tokens in, {found['total_output_tokens']} out"
    return [
        heading(_load(found)),
        paragraph(f"{found['num_prompts']} requests in {found['duration']:.1f} s; {lengths}"),
        *(paragraph(f"{count} x {kind}", "doubt") for kind, count in found["error_kinds"].items()),
        *(paragraph(line) for line in doubts(found)),
        tiles(_headline(found)),
        grid(("ms", *(name for name, _ in COLUMNS)), times),
        plots(_plots(found)),
    ]


def _headline(found: Found) -> list[tuple[str, str]]:
    pairs = [
        ("requests/s", f"{found['request_throughput']:.2f}"),
        ("output tokens/s", f"{found['output_throughput']:.0f}"),
        ("TTFT p50, ms", f"{found['median_ttft_ms']:.0f}"),
        ("TTFT p99, ms", f"{found['p99_ttft_ms']:.0f}"),
        ("TPOT p50, ms", f"{found['median_tpot_ms']:.1f}"),
        ("ITL p99, ms", f"{found['p99_itl_ms']:.1f}"),
    ]
    if found["request_goodput"] is not None:
        limits = ", ".join(f"{NAMES[key]} {limit:g}" for key, limit in found["goodput_limits_ms"].items())
        pairs.insert(0, (f"good requests/s ({limits} ms)", f"{found['request_goodput']:.2f}"))
    return pairs


def _plots(found: Found) -> list[str]:
    done = [place for place, error in enumerate(found["errors"]) if not error and found["output_lens"][place]]
    ttfts = [found["ttfts"][place] * 1000 for place in done]
    itls = [itl * 1000 for place in done for itl in found["itls"][place]]
    tpots = [
        (found["latencies"][place] - found["ttfts"][place]) / (found["output_lens"][place] - 1) * 1000
        for place in done
        if found["output_lens"][place] > 1
    ]
    starts = [found["start_times"][place] for place in done]
    limits = found["goodput_limits_ms"]
    tokens, running = _over_time(found, done)
    return [
        plot("Time to first token", "ms", "% of requests", [Series("TTFT", shares(ttfts), "step")]),
        plot("Time per token", "ms", "% at most this", [Series("ITL", shares(_most(itls)), "step"),
             Series("TPOT", shares(tpots), "step")]),
        plot("Output tokens each second", "s", "tokens/s", [Series("tokens/s", tokens, "step")]),
        plot("Requests running", "s", "requests", [Series("running", running, "step")]),
        plot("Time to first token by start", "s", "ms", [Series("TTFT", list(zip(starts, ttfts, strict=True)), "dots")],
             limits.get("ttft")),
        plot("Length and time of prompts", "tokens in", "TTFT, ms",
             [Series("TTFT", [(found["input_lens"][place], found["ttfts"][place] * 1000) for place in done], "dots")]),
    ]  # fmt: skip


def _most(values: list[float]) -> list[float]:
    """Without the rarest 0.2 %, which would leave no room for the others: the table has them."""
    ordered = sorted(values)
    return ordered[: max(1, round(len(ordered) * 0.998))]


def _over_time(found: Found, done: Sequence[int]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Tokens by second of arrival, and requests in flight at every change."""
    by_second: dict[int, float] = {}
    edges: list[tuple[float, int]] = []
    for place in done:
        at = found["start_times"][place] + found["ttfts"][place]
        times = list(accumulate(found["itls"][place], initial=at))
        for time in times:
            by_second[int(time)] = by_second.get(int(time), 0.0) + found["output_lens"][place] / len(times)
        edges += [(found["start_times"][place], 1), (times[-1], -1)]
    edges.sort()
    counts = accumulate(step for _, step in edges)
    tokens = [(float(second), by_second.get(second, 0.0)) for second in range(max(by_second, default=-2) + 2)]
    return tokens, [(at, float(count)) for (at, _), count in zip(edges, counts, strict=True)]


def _runs(results: Sequence[Found]) -> str:
    head = (
        "load",
        "done",
        "failed",
        "requests/s",
        "goodput/s",
        "tokens/s",
        "TTFT p50",
        "p99",
        "TPOT p50",
        "p99",
        "ITL p99",
    )
    keys = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "p99_itl_ms")
    rows = [
        (
            _load(found), str(found["completed"]), str(found["failed"]), f"{found['request_throughput']:.2f}",
            "-" if found["request_goodput"] is None else f"{found['request_goodput']:.2f}",
            f"{found['output_throughput']:.0f}", *(f"{found[key]:.1f}" for key in keys),
        )
        for found in results
    ]  # fmt: skip
    return grid(head, rows)


def _sweep(results: Sequence[Found]) -> list[str]:
    label, xs = _axis(results)

    def along(key: str) -> list[tuple[float, float]]:
        return sorted((x, float(found[key])) for x, found in zip(xs, results, strict=True) if found[key] is not None)

    limits = results[0]["goodput_limits_ms"]
    return [
        plot("Served", label, "requests/s", [Series("all", along("request_throughput")),
             Series("good", along("request_goodput"))]),
        plot("Output", label, "tokens/s", [Series("tokens/s", along("output_throughput"))]),
        plot("Time to first token", label, "ms", [Series("p50", along("median_ttft_ms")),
             Series("p99", along("p99_ttft_ms"))], limits.get("ttft")),
        plot("Time per output token", label, "ms", [Series("p50", along("median_tpot_ms")),
             Series("p99", along("p99_tpot_ms"))], limits.get("tpot")),
    ]  # fmt: skip


def _axis(results: Sequence[Found]) -> tuple[str, list[float]]:
    """What was varied: the rate where it was a number each time, else how many at once, else the runs' order."""
    try:
        rates = [float(found["request_rate"]) for found in results]
    except ValueError:
        rates = []
    if len(set(rates)) > 1 and float("inf") not in rates:
        return "requests/s asked for", rates
    most = [found["max_concurrency"] for found in results]
    if all(most) and len(set(most)) > 1:
        return "requests at once", [float(each) for each in most]
    return "run", [float(place + 1) for place in range(len(results))]
