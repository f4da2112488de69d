"""What a report draws over time and along a sweep, counted by hand from results."""

from dataclasses import replace
from typing import Any

import pytest

from loadtest.bench.report import _axis, _load, _most, _over_time
from loadtest.bench.result import result
from tests.bench.records import record
from tests.bench.test_result import RECORDS, RUN


def found(**changes: Any) -> dict[str, Any]:
    return result(replace(RUN, **changes), RECORDS)


def test_tokens_fall_into_the_seconds_they_came_in() -> None:
    records = [record(100.4, 100.6, 102.2, start=100.0), record(101.5, start=101.0, out=4)]
    tokens, _ = _over_time(result(RUN, records), [0, 1])
    assert [(at, round(count, 6)) for at, count in tokens] == [(0.0, 2.0), (1.0, 4.0), (2.0, 1.0), (3.0, 0.0)]


def test_requests_run_from_their_start_to_their_last_token() -> None:
    records = [record(102.0, start=100.0), record(101.5, start=101.0)]
    _, running = _over_time(result(RUN, records), [0, 1])
    assert [count for _, count in running] == [1.0, 2.0, 1.0, 0.0]
    assert [at for at, _ in running] == pytest.approx([0.0, 1.0, 1.5, 2.0])


def test_nothing_over_time() -> None:
    assert _over_time(result(RUN, []), []) == ([], [])


def test_the_rarest_are_left_out_of_a_curve() -> None:
    assert len(_most([float(value) for value in range(1000)])) == 998
    assert _most([3.0, 1.0]) == [1.0, 3.0]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rate": "2"}, "2 requests/s"),
        ({"rate": "2", "concurrency": 8}, "2 requests/s, at most 8 at once"),
        ({"rate": "inf", "concurrency": 8}, "at most 8 at once"),
        ({"rate": "inf"}, "all at once"),
        ({"rate": "trace"}, "trace"),
        ({"rate": "1..8"}, "1..8"),
    ],
)
def test_a_load_has_a_name(changes: dict[str, Any], name: str) -> None:
    assert _load(found(**changes)) == name


def test_axes() -> None:
    rates = [found(rate="1"), found(rate="3")]
    assert _axis(rates) == ("requests/s asked for", [1.0, 3.0])
    limits = [found(rate="inf", concurrency=1), found(rate="inf", concurrency=4)]
    assert _axis(limits) == ("requests at once", [1.0, 4.0])
    assert _axis([found(rate="2"), found(rate="2")]) == ("run", [1.0, 2.0])
