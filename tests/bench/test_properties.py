"""What holds of the bench's pure parts whatever the numbers: percentiles, counts by second, lengths, bytes, limits."""

import json
import math
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.bench.arrivals import Rate, arrivals, parse_rate
from loadtest.bench.goodput import is_good, parse_limits
from loadtest.bench.http_wire import Malformed, Response
from loadtest.bench.lengths import parse_lengths
from loadtest.bench.openai_stream import BadStream, EventLines, said
from loadtest.bench.record import Record
from loadtest.bench.statistics import Spread, most_at_once, per_second, percentile
from tests.bench.records import record

FEW = settings(max_examples=40)
NUMBERS = st.floats(min_value=0, max_value=1e6, allow_nan=False)
WAITS = st.lists(st.floats(min_value=0.001, max_value=3), min_size=1, max_size=6)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """An answer that began within ten seconds, message by message."""
    start = draw(st.floats(min_value=0, max_value=10))
    times, at = [], start
    for wait in draw(WAITS):
        at += wait
        times.append(at)
    return record(*times, start=start, out=draw(st.integers(min_value=1, max_value=40)))


@FEW
@given(st.lists(NUMBERS, min_size=1, max_size=50), st.floats(min_value=0, max_value=100))
def test_percentiles_are_numpys(values: list[float], share: float) -> None:
    expected = float(np.percentile(values, share))
    assert percentile(sorted(values), share) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@FEW
@given(st.lists(NUMBERS, min_size=1, max_size=50))
def test_a_spread_is_numpys_too_and_in_order(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(float(np.mean(values)), abs=1e-6)
    assert spread.deviation == pytest.approx(float(np.std(values)), rel=1e-6, abs=1e-6)
    found = list(spread.percentiles.values())
    assert found == sorted(found)
    assert spread.median == spread.percentiles[50.0]


@FEW
@given(st.lists(records(), max_size=8))
def test_no_token_is_lost_between_the_seconds(answers: list[Record]) -> None:
    tokens, running = per_second(answers, 0.0)
    assert math.fsum(tokens) == pytest.approx(sum(answer.num_output for answer in answers))
    assert len(tokens) == len(running)
    assert max(running, default=0) <= len(answers)
    assert most_at_once(answers) <= max(running, default=0)


@FEW
@given(records())
def test_the_times_of_an_answer_add_up(answer: Record) -> None:
    assert answer.ttft_s + math.fsum(answer.itls_s) == pytest.approx(answer.latency_s)
    if answer.tpot_s is not None:
        assert answer.ttft_s + answer.tpot_s * (answer.num_output - 1) == pytest.approx(answer.latency_s)


@FEW
@given(records(), st.floats(min_value=0, max_value=20_000))
def test_a_looser_limit_never_makes_a_request_worse(answer: Record, limit: float) -> None:
    for metric in ("ttft", "tpot", "e2el"):
        if is_good(answer, {metric: limit}):
            assert is_good(answer, {metric: limit * 2 + 1})
    assert is_good(answer, parse_limits((f"e2el:{answer.latency_s * 1000 + 1}",)))


@FEW
@given(
    st.sampled_from(["{}", "uniform:{}:{}", "normal:{}:{}", "lognormal:{}:0.5"]),
    st.integers(min_value=1, max_value=5000),
    st.integers(min_value=0, max_value=5000),
)
def test_lengths_are_whole_and_at_least_one(form: str, first: int, more: int) -> None:
    lengths = parse_lengths(form.format(first, first + more), "--input-tokens", str)
    drawn = [lengths.draw(Random(seed)) for seed in range(20)]
    assert all(isinstance(length, int) and length >= 1 for length in drawn)
    if form.startswith("uniform"):
        assert all(first <= length <= first + more for length in drawn)


@FEW
@given(
    st.floats(min_value=0.01, max_value=500),
    st.floats(min_value=0.01, max_value=500),
    st.floats(min_value=0.2, max_value=5),
    st.integers(min_value=1, max_value=60),
)
def test_arrivals_ascend_and_are_as_many_as_asked(first: float, last: float, shape: float, count: int) -> None:
    times = list(arrivals(Rate(first, last), shape, count, 0.0, Random(1)))
    assert len(times) == count
    assert times == sorted(times)
    within = list(arrivals(Rate(first, last), shape, count, times[-1], Random(1)))
    assert all(time < times[-1] for time in within)


@FEW
@given(st.floats(min_value=0.001, max_value=1000), st.floats(min_value=0.001, max_value=1000))
def test_a_rate_can_be_told_and_read_again(first: float, last: float) -> None:
    told = str(Rate(first, last))
    assert str(parse_rate(told)) == told


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(edges)]


@FEW
@given(st.lists(st.binary(max_size=30), max_size=5), st.lists(st.integers(min_value=0), max_size=12))
def test_a_chunked_body_is_the_same_at_any_split(chunks: list[bytes], places: list[int]) -> None:
    body = b"".join(b"%x;q=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + body + b"0\r\nTrailer: x\r\n\r\n"
    response = Response()
    assert b"".join(response.feed(part) for part in cut(data, places)) == b"".join(chunks)
    assert response.complete
    assert response.reusable


@FEW
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes) -> None:
    for given_first in (b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n"):
        response = Response()
        try:
            response.feed(given_first + data)
            response.end()
        except Malformed:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "text", "content", "usage", "finish_reason", "error", "completion_tokens"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON)
def test_an_event_of_any_shape_is_read_or_refused(event: object) -> None:
    try:
        found = said(json.dumps(event).encode())
    except BadStream:
        return
    assert not found.done
    assert isinstance(found.text, str)


@FEW
@given(
    st.lists(st.sampled_from([b"data: {}\n", b": ping\n", b"\n", b"event: x\n", b"data:[DONE]\r\n"])), st.integers(1, 9)
)
def test_lines_are_the_same_at_any_size_of_read(lines: list[bytes], size: int) -> None:
    data = b"".join(lines)
    whole, apart = EventLines(), EventLines()
    found = [line for place in range(0, len(data), size) for line in apart.feed(data[place : place + size])]
    assert found == whole.feed(data)
    assert found == [line[5:].strip() for line in lines if line.startswith(b"data:")]
