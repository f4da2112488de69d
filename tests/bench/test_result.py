"""The result of a run, number by number."""

import json
from dataclasses import replace
from typing import Any

import pytest

from loadtest.bench.record import Record
from loadtest.bench.result import Run, result
from loadtest.bench.summary import summary, sweep
from tests.bench.records import record

RUN = Run(
    label="x",
    backend="paper",
    model_id="m",
    date="20260101-000000",
    rate="2",
    burstiness=1.0,
    concurrency=None,
    begin_s=100.0,
    duration_s=4.0,
    cpu_s=1.0,
    limits_ms={"ttft": 600, "tpot": 300},
)
RECORDS = [
    record(100.5, 100.7, 101.1, start=100.0, into=5),
    record(102.5, 103.5, start=101.5, out=5, into=7),
    Record(102.0, 9, 102.5, 103.0, error="HTTP 503"),
    Record(102.0, 9, 102.0, 103.0),
]
OF_VLLM = {
    *("date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "request_rate"),
    *("burstiness", "max_concurrency", "duration", "completed", "failed", "total_input_tokens"),
    *("total_output_tokens", "request_throughput", "request_goodput", "output_throughput", "total_token_throughput"),
    *("input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "queue_times", "generated_texts"),
    *("errors", "max_output_tokens_per_s", "max_concurrent_requests"),
    *(f"{key}_{metric}_ms" for key in ("mean", "median", "std", "p99") for metric in ("ttft", "tpot", "itl", "e2el")),
}


def found(**changes: Any) -> dict[str, Any]:
    return result(replace(RUN, **changes), RECORDS)


def test_it_has_the_keys_of_vllm_bench_serve_and_is_json() -> None:
    assert found().keys() >= OF_VLLM
    assert json.loads(json.dumps(found())) == found()


def test_counts_and_rates_are_of_what_completed() -> None:
    made = found()
    assert (made["completed"], made["failed"], made["num_prompts"]) == (2, 2, 4)
    assert (made["total_input_tokens"], made["total_output_tokens"]) == (12, 8)
    assert made["request_throughput"] == 0.5
    assert made["output_throughput"] == 2.0
    assert made["total_token_throughput"] == 5.0
    assert made["request_goodput"] == 0.25
    assert made["client_cpu_share"] == 0.25


def test_times() -> None:
    made = found()
    assert made["ttfts"] == pytest.approx([0.5, 1.0, 0, 0])
    assert made["latencies"] == pytest.approx([1.1, 2.0, 0, 0])
    assert made["itls"][0] == pytest.approx([0.2, 0.4])
    assert made["start_times"] == pytest.approx([0.0, 1.5, 2.5, 2.0])
    assert made["queue_times"] == pytest.approx([0.0, 0.0, 0.5, 0.0])
    assert made["mean_ttft_ms"] == pytest.approx(750)
    assert made["p99_ttft_ms"] == pytest.approx(995)


def test_several_tokens_in_a_message_are_one_arrival_and_count_per_token() -> None:
    made = found()
    assert made["mean_tpot_ms"] == pytest.approx((300 + 250) / 2)
    assert made["mean_itl_ms"] == pytest.approx((200 + 400 + 1000) / 3)
    assert made["tokens_per_message"] == pytest.approx(8 / 5)
    assert made["max_output_tokens_per_s"] == 2.5


def test_errors_are_counted_by_kind() -> None:
    assert found()["errors"] == ["", "", "HTTP 503", ""]
    assert found()["error_kinds"] == {"HTTP 503": 1, "no token came": 1}


def test_without_limits_there_is_no_goodput() -> None:
    made = found(limits_ms={})
    assert made["request_goodput"] is None
    assert made["good_requests"] is None


@pytest.mark.parametrize(("rate", "told"), [("2", 2.0), ("inf", "inf"), ("1..8", "1..8"), ("trace", "trace")])
def test_a_rate_is_a_number_where_it_is_one(rate: str, told: object) -> None:
    assert found(rate=rate)["request_rate"] == told


def test_nothing_at_all_makes_zeros() -> None:
    made = result(RUN, [])
    assert (made["completed"], made["median_ttft_ms"], made["tokens_per_message"]) == (0, 0.0, 0.0)
    assert "0 requests completed" in summary(made)


def test_the_summary_names_what_casts_doubt() -> None:
    text = summary(found(cpu_s=3.6, interrupted=True))
    assert "goodput 0.25 requests/s (1 with TTFT <= 600 ms, TPOT <= 300 ms)" in text
    assert "1 x HTTP 503" in text
    assert "90% of a core: it may be what is slow" in text
    assert "1.60 tokens on average" in text
    assert "interrupted" in text
    assert "after their time" in text
    assert "after their time" not in summary(found(concurrency=3))


def test_a_sweep_has_a_line_a_run() -> None:
    lines = sweep([found(), found(rate="inf", concurrency=8, limits_ms={})]).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["2", "-", "2"], ["inf", "8", "2"]]
