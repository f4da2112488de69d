"""A run as one JSON object: the keys of `vllm bench serve`, and a few of ours after them. Pure.

Times are in ms where a key says so and in seconds elsewhere, as there. An inter-token latency is the time between two
messages that brought tokens; the time per output token divides by the tokens the server says it made. Throughput
counts what completed, over the whole run from its first request to its last answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.bench.goodput import is_good
from loadtest.bench.record import Record
from loadtest.bench.statistics import Spread, most_at_once, per_second

METRICS = ("ttft", "tpot", "itl", "e2el")


@dataclass(frozen=True, slots=True)
class Run:
    """All that is known of a run besides its requests."""

    label: str
    backend: str
    model_id: str
    date: str
    rate: str
    burstiness: float
    concurrency: int | None
    begin_s: float
    duration_s: float
    cpu_s: float
    limits_ms: Mapping[str, float] = field(default_factory=dict)
    interrupted: bool = False
    seed: int = 0


def spreads(records: Sequence[Record]) -> dict[str, Spread]:
    """Milliseconds by metric, of the requests that completed."""
    done = [record for record in records if record.ok]
    seconds = {
        "ttft": [record.ttft_s for record in done],
        "tpot": [tpot for record in done if (tpot := record.tpot_s) is not None],
        "itl": [itl for record in done for itl in record.itls_s],
        "e2el": [record.latency_s for record in done],
    }
    return {metric: Spread.of(value * 1000 for value in values) for metric, values in seconds.items()}


def result(run: Run, records: Sequence[Record], *, texts: bool = False) -> dict[str, object]:
    """The whole of it; requests that failed keep their place in the lists, as there."""
    done = [record for record in records if record.ok]
    num_input, num_output = sum(r.num_input for r in done), sum(r.num_output for r in done)
    seconds = max(run.duration_s, 1e-9)
    tokens, _ = per_second(done, run.begin_s)
    good = sum(is_good(record, run.limits_ms) for record in done)
    num_messages = sum(len(record.arrivals) for record in done)
    found: dict[str, object] = {
        "date": run.date,
        "endpoint_type": run.backend,
        "backend": run.backend,
        "label": run.label,
        "model_id": run.model_id,
        "tokenizer_id": None,
        "num_prompts": len(records),
        "request_rate": _number(run.rate),
        "burstiness": run.burstiness,
        "max_concurrency": run.concurrency,
        "duration": run.duration_s,
        "completed": len(done),
        "failed": len(records) - len(done),
        "total_input_tokens": num_input,
        "total_output_tokens": num_output,
        "request_throughput": len(done) / seconds,
        "request_goodput": good / seconds if run.limits_ms else None,
        "output_throughput": num_output / seconds,
        "total_token_throughput": (num_input + num_output) / seconds,
        "max_output_tokens_per_s": max(tokens, default=0.0),
        "max_concurrent_requests": most_at_once(done),
        "input_lens": [record.num_input for record in records],
        "output_lens": [record.num_output if record.ok else 0 for record in records],
        "ttfts": [record.ttft_s if record.ok else 0.0 for record in records],
        "itls": [record.itls_s for record in records],
        "latencies": [record.latency_s if record.ok else 0.0 for record in records],
        "start_times": [record.start_s - run.begin_s for record in records],
        "queue_times": [record.queue_s for record in records],
        "generated_texts": [record.text for record in records] if texts else [],
        "errors": [record.error for record in records],
    }
    for metric, spread in spreads(records).items():
        found |= {f"mean_{metric}_ms": spread.mean, f"median_{metric}_ms": spread.median}
        found[f"std_{metric}_ms"] = spread.deviation
        found |= {f"p{share:g}_{metric}_ms": value for share, value in spread.percentiles.items()}
    return found | {
        "error_kinds": error_kinds(records),
        "goodput_limits_ms": dict(run.limits_ms),
        "good_requests": good if run.limits_ms else None,
        "tokens_per_message": num_output / num_messages if num_messages else 0.0,
        "client_cpu_share": run.cpu_s / seconds,
        "client_queue_p99_ms": Spread.of(record.queue_s * 1000 for record in records).percentiles[99.0],
        "interrupted": run.interrupted,
        "seed": run.seed,
    }


def error_kinds(records: Sequence[Record]) -> dict[str, int]:
    """How many failed of what, the most frequent first."""
    kinds = Counter(record.error or "no token came" for record in records if not record.ok)
    return dict(kinds.most_common())


def _number(rate: str) -> float | str:
    """A rate that is one is a number, as there; inf, a rising one and a trace stay words."""
    try:
        return float(rate) if rate != "inf" else rate
    except ValueError:
        return rate
