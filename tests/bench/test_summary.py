"""What a run came to, line by line, at the edges of what casts doubt on it."""

from dataclasses import replace
from typing import Any

import pytest

from loadtest.bench.result import result
from loadtest.bench.summary import BUSY_SHARE, LATE_MS, doubts, summary, sweep
from tests.bench.records import record
from tests.bench.test_result import RECORDS, RUN

CALM = {"client_cpu_share": 0.2, "client_queue_p99_ms": 1.0, "max_concurrency": None, "tokens_per_message": 1.0}


def doubted(**changes: Any) -> list[str]:
    return doubts({**CALM, "interrupted": False, **changes})


def test_a_calm_run_says_only_what_the_client_used() -> None:
    assert doubted() == ["this client used 20% of a core"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_cpu_share": BUSY_SHARE + 0.01}, "it may be what is slow"),
        ({"client_queue_p99_ms": LATE_MS + 1}, "up to 21 ms (p99) after their time"),
        ({"tokens_per_message": 1.06}, "1.06 tokens on average"),
        ({"interrupted": True}, "interrupted"),
    ],
)
def test_each_doubt_has_its_words(changes: dict[str, Any], words: str) -> None:
    assert words in " ".join(doubted(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"client_cpu_share": BUSY_SHARE},
        {"client_queue_p99_ms": LATE_MS},
        {"client_queue_p99_ms": 5000.0, "max_concurrency": 4},
        {"tokens_per_message": 1.05},
        {"tokens_per_message": 0.0},
    ],
)
def test_up_to_its_limit_nothing_is_doubted(changes: dict[str, Any]) -> None:
    assert len(doubted(**changes)) == 1
    assert "slow" not in doubted(**changes)[0]


def test_the_first_lines_count_and_rate() -> None:
    lines = summary(result(RUN, RECORDS)).splitlines()
    assert lines[0] == "2 requests completed, 2 failed, in 4.0 s"
    assert lines[1] == "0.50 requests/s, 2.0 output tokens/s, 5.0 tokens/s in and out"


def test_the_table_has_a_row_a_metric_in_milliseconds() -> None:
    lines = summary(result(RUN, [record(100.5, 100.75, start=100.0)])).splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("ms "))
    assert [line.split()[-5:] for line in lines[begin + 1 : begin + 5]] == [
        ["500.00"] * 5,
        ["250.00"] * 5,
        ["250.00"] * 5,
        ["750.00"] * 5,
    ]


def test_errors_stand_most_frequent_first() -> None:
    failed = [record(start=100.0, error=error) for error in ("HTTP 503", "timeout", "HTTP 503", "")]
    lines = summary(result(RUN, failed)).splitlines()
    assert [line for line in lines if " x " in line] == ["2 x HTTP 503", "1 x timeout", "1 x no token came"]
    assert not any(line.startswith("TTFT") for line in lines), "nothing completed, so no table"


@pytest.mark.parametrize(
    ("rate", "told"), [("2", "2"), ("2.50", "2.5"), ("inf", "inf"), ("1..8", "1..8"), ("trace.csv", "trace.csv")]
)
def test_a_sweep_tells_the_rate_as_it_was_asked(rate: str, told: str) -> None:
    line = sweep([result(replace(RUN, rate=rate), RECORDS)]).splitlines()[1]
    assert line.split()[0] == told


def test_a_sweep_without_limits_has_no_goodput() -> None:
    head, with_limits, without = sweep([result(RUN, RECORDS), result(replace(RUN, limits_ms={}), RECORDS)]).splitlines()
    assert "goodput/s" in head
    assert with_limits.split()[5] == "0.25"
    assert without.split()[5] == "-"
