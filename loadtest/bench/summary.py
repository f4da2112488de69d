"""What a run came to, in lines for people. Pure: results in, text out."""

from collections.abc import Mapping, Sequence
from typing import Any

from baton.cli.table import table
from loadtest.bench.result import METRICS

NAMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2el": "end to end"}
HEAD = ("ms", "mean", "p50", "p90", "p95", "p99")
BUSY_SHARE = 0.8
"""Of one core: above it the client itself may be what is slow."""
LATE_MS = 20.0


def summary(found: Mapping[str, Any]) -> str:
    """Counts, rates, the table of times, and what casts doubt on them."""
    lines = [
        f"{found['completed']} requests completed, {found['failed']} failed, in {found['duration']:.1f} s",
        f"{found['request_throughput']:.2f} requests/s, {found['output_throughput']:.1f} output tokens/s, "
        f"{found['total_token_throughput']:.1f} tokens/s in and out",
    ]
    if found["request_goodput"] is not None:
        limits = ", ".join(f"{NAMES[key]} <= {limit:g} ms" for key, limit in found["goodput_limits_ms"].items())
        lines.append(f"goodput {found['request_goodput']:.2f} requests/s ({found['good_requests']} with {limits})")
    if found["completed"]:
        lines.append(table(HEAD, [_row(found, metric) for metric in METRICS]))
    lines += [f"{count} x {kind}" for kind, count in found["error_kinds"].items()]
    return "\n".join([*lines, *doubts(found)])


def _row(found: Mapping[str, Any], metric: str) -> Sequence[str]:
    keys = ("mean", "median", "p90", "p95", "p99")
    return NAMES[metric], *(f"{found[f'{key}_{metric}_ms']:.2f}" for key in keys)


def doubts(found: Mapping[str, Any]) -> list[str]:
    """The client's own part, and a word for each way in which these times may not be the server's."""
    share, late = found["client_cpu_share"], found["client_queue_p99_ms"]
    lines = [f"this client used {share:.0%} of a core"]
    if share > BUSY_SHARE:
        lines[0] += ": it may be what is slow; spread the load over several clients"
    if late > LATE_MS and found["max_concurrency"] is None:
        lines.append(f"requests were sent up to {late:.0f} ms (p99) after their time")
    if found["tokens_per_message"] > 1.05:
        many = found["tokens_per_message"]
        lines.append(f"a message brought {many:.2f} tokens on average: ITL is between messages, TPOT per token")
    if found["interrupted"]:
        lines.append("interrupted: what was running then counts as failed")
    return lines


def sweep(results: Sequence[Mapping[str, Any]]) -> str:
    """A line a run."""
    head = ("rate", "at once", "done", "failed", "requests/s", "goodput/s", "tokens/s", "TTFT p50", "TTFT p99",
            "TPOT p50", "TPOT p99", "ITL p99")  # fmt: skip
    rows = [
        (
            _rate(found["request_rate"]),
            str(found["max_concurrency"] or "-"),
            str(found["completed"]),
            str(found["failed"]),
            f"{found['request_throughput']:.2f}",
            "-" if found["request_goodput"] is None else f"{found['request_goodput']:.2f}",
            f"{found['output_throughput']:.1f}",
            *(f"{found[key]:.1f}" for key in ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms")),
            f"{found['p99_itl_ms']:.1f}",
        )
        for found in results
    ]
    return table(head, rows)


def _rate(rate: float | str) -> str:
    return f"{rate:g}" if isinstance(rate, float) else rate
