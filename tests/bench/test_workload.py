"""From options to runs and requests."""

from itertools import islice
from typing import Any

import pytest

from common.types.config_bench import BenchConfig
from common.types.options import ConfigError
from loadtest.bench.arrivals import Rate
from loadtest.bench.prompts import AsIds, Prompts
from loadtest.bench.record import Planned
from loadtest.bench.workload import Load, loads, planned, workload

TRACE = """{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 7]}
{"timestamp": 3000, "input_length": 512, "output_length": 90, "hash_ids": [0]}
"""


def plan(load: Load, most: int = 1000, **options: Any) -> list[Planned]:
    config = BenchConfig(**options)
    parts = workload(config, lambda _: TRACE)
    return list(islice(planned(config, parts, load, Prompts(0, 500, 1, config.prefix_tokens), AsIds()), most))


def test_without_a_word_one_request_at_a_time() -> None:
    assert loads(BenchConfig()) == (Load(None, 1),)


def test_every_rate_at_every_limit() -> None:
    config = BenchConfig(rate=("1", "2..4"), concurrency=("8", "16"))
    assert [(str(load), load.open) for load in loads(config)] == [
        ("1 requests/s, at most 8 at once", True),
        ("1 requests/s, at most 16 at once", True),
        ("2..4 requests/s, at most 8 at once", True),
        ("2..4 requests/s, at most 16 at once", True),
    ]


def test_limits_alone_are_closed_loops() -> None:
    assert [(load.concurrency, load.open) for load in loads(BenchConfig(concurrency=("1", "8")))] == [
        (1, False),
        (8, False),
    ]


def test_a_trace_is_open_and_has_no_rate() -> None:
    (load,) = loads(BenchConfig(trace="t"))
    assert (load.open, str(load)) == (True, "trace")
    with pytest.raises(ConfigError, match="both say when"):
        loads(BenchConfig(trace="t", rate=("1",)))


@pytest.mark.parametrize("text", ["0", "x", "-1", "1.5"])
def test_a_limit_is_a_whole_number(text: str) -> None:
    with pytest.raises(ConfigError, match="--concurrency"):
        loads(BenchConfig(concurrency=(text,)))


def test_a_hundred_requests_unless_told() -> None:
    assert len(plan(Load(Rate(5, 5), None))) == 100
    assert len(plan(Load(None, 3))) == 100
    assert len(plan(Load(None, 3), requests=7)) == 7


def test_a_closed_loop_of_some_duration_has_no_last_request() -> None:
    assert len(plan(Load(None, 3), 300, duration_s=5.0)) == 300


def test_an_open_loop_of_some_duration_ends_with_it() -> None:
    made = plan(Load(Rate(20, 20), None), duration_s=5.0)
    assert 60 < len(made) < 140
    assert made[-1].at_s < 5


def test_lengths_are_drawn_and_clipped_and_prefixes_come_on_top() -> None:
    options: dict[str, Any] = {
        "input_tokens": "uniform:5:90",
        "clip_input": 50,
        "output_tokens": "30",
        "clip_output": 20,
    }
    made = plan(Load(None, 1), prefix_tokens=8, **options)
    assert {len(each.prompt) - 8 for each in made} <= set(range(5, 51))
    assert max(each.num_input for each in made) == 58
    assert {each.num_output for each in made} == {20}


def test_a_trace_gives_times_lengths_and_what_is_shared() -> None:
    first, second = plan(Load(None, None, traced=True), trace="t", time_scale=0.5, clip_output=50)
    assert (first.at_s, first.num_input, first.num_output) == (0.0, 600, 5)
    assert (second.at_s, second.num_input, second.num_output) == (1.5, 512, 50)
    assert first.prompt[:512] == second.prompt


def test_a_trace_may_be_cut_by_number_or_time() -> None:
    assert len(plan(Load(None, None, traced=True), trace="t", requests=1)) == 1
    assert len(plan(Load(None, None, traced=True), trace="t", duration_s=2.0)) == 1


def test_the_same_seed_plans_the_same() -> None:
    load = Load(Rate(5, 5), None)
    assert plan(load, seed=3) == plan(load, seed=3)
    assert [p.at_s for p in plan(load, seed=3)] != [p.at_s for p in plan(load, seed=4)]
