"""Recorded traffic in its two formats."""

import pytest

from common.types.options import ConfigError
from loadtest.bench.trace import TraceRow, read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:46.6805900,374,44
"""
MOONCAKE = """{"timestamp": 27000, "input_length": 600, "output_length": 5, "hash_ids": [0, 7]}

{"timestamp": 27250, "input_length": 512, "output_length": 9, "hash_ids": [0]}
"""


def test_azure_counts_from_its_first_arrival_in_order() -> None:
    first, second = read_trace(AZURE.splitlines(), "a.csv")
    assert first == TraceRow(0.0, 374, 44)
    assert (second.num_input, second.num_output) == (396, 109)
    assert second.at_s == pytest.approx(4.314579, abs=1e-5)


def test_azure_with_zones_and_more_columns() -> None:
    text = "TIMESTAMP, ContextTokens, GeneratedTokens, Other\n2024-05-10 00:00:00.009930+00:00,2162,5,x\n"
    assert read_trace(text.splitlines(), "a.csv") == (TraceRow(0.0, 2162, 5),)


def test_mooncake_counts_in_milliseconds_and_keeps_what_is_shared() -> None:
    assert read_trace(MOONCAKE.splitlines(), "m.jsonl") == (
        TraceRow(0.0, 600, 5, (0, 7)),
        TraceRow(0.25, 512, 9, (0,)),
    )


def test_a_request_has_at_least_one_token_each_way() -> None:
    text = '{"timestamp": 0, "input_length": 0, "output_length": 0}'
    assert read_trace([text], "m.jsonl") == (TraceRow(0.0, 1, 1),)


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n", "hello"])
def test_other_formats_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"t\.txt has no format"):
        read_trace(text.splitlines(), "t.txt")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (AZURE + "yesterday,1,2\n", 4),
        (AZURE + "2023-11-16 18:15:46,,2\n", 4),
        (MOONCAKE + "{}\n", 4),
        (MOONCAKE + "[1]\n", 4),
        (MOONCAKE + '{"timestamp": 0, "input_length": -1, "output_length": 1}\n', 4),
        ('{"timestamp": 1\n', 1),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}\n', 1),
        ('{"timestamp": Infinity, "input_length": 1, "output_length": 1}\n', 1),
        ('{"timestamp": 1, "input_length": Infinity, "output_length": 1}\n', 1),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": 3}\n', 1),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"Line {line} of the trace"):
        read_trace(text.splitlines(), "t")


def test_a_trace_without_requests() -> None:
    with pytest.raises(ConfigError, match="no requests"):
        read_trace(["TIMESTAMP,ContextTokens,GeneratedTokens"], "t")
