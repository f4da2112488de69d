"""Samples as a scrape: every name from the list, labels in its order, both formats."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.obs.exposition import Sample, render
from common.obs.latency import Latency

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def read(samples: list[Sample]) -> dict[str, dict[tuple[str, ...], float]]:
    """A scrape as its reader sees it: values by name and labels."""
    text, _ = render(samples)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_counters_and_gauges() -> None:
    found = read(
        [
            Sample("baton_retries_total", 3, ("decode",)),
            Sample("baton_queue_tokens", 7),
            Sample("baton_retries_total", 1, ("prefill",)),
        ]
    )
    assert found["baton_retries_total"] == {("decode",): 3, ("prefill",): 1}
    assert found["baton_queue_tokens"] == {(): 7}


def test_a_histogram_has_buckets_count_and_sum() -> None:
    latency = Latency()
    for seconds in (0.003, 0.5, 1000.0):
        latency.observe(seconds, 1.0)
    found = read([Sample("baton_ttft_seconds", latency.counts())])
    buckets = found["baton_ttft_seconds_bucket"]
    assert (buckets[("0.0025",)], buckets[("0.005",)], buckets[("250.0",)], buckets[("+Inf",)]) == (0, 1, 2, 3)
    assert found["baton_ttft_seconds_count"][()] == 3
    assert found["baton_ttft_seconds_sum"][()] == pytest.approx(1000.503)


def test_the_scraper_chooses_the_format() -> None:
    plain, plain_type = render([Sample("vllm:prompt_tokens_total", 1, ("tiny",))])
    assert b'vllm:prompt_tokens_total{model_name="tiny"} 1.0' in plain
    assert plain_type.startswith("text/plain")
    text, text_type = render([Sample("baton_ready", True)], OPENMETRICS)
    assert text.endswith(b"# EOF\n")
    assert text_type.startswith("application/openmetrics-text")


def test_what_is_not_listed_is_a_bug() -> None:
    with pytest.raises(KeyError):
        render([Sample("baton_unheard_of", 1)])
    with pytest.raises(ValueError, match="labels"):
        render([Sample("baton_queue_tokens", 1, ("decode",))])
    with pytest.raises(TypeError, match="histogram"):
        render([Sample("baton_ttft_seconds", 1)])
    with pytest.raises(TypeError, match="histogram"):
        render([Sample("baton_queue_tokens", Latency().counts())])


def test_a_label_cannot_break_out_of_its_line() -> None:
    text, _ = render([Sample("baton_retries_total", 1, ('a"} 5\nbaton_queue_tokens 9',))])
    assert b"\nbaton_queue_tokens 9" not in text
