"""Events on the wire: any text, in any pieces, read back by readers of every kind."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from common.types.errors import InvalidRequest
from router.http.completion_shape import Prompted
from router.http.completion_stream import CompletionStream
from router.http.frames import Frames
from router.http.pieces import DONE, dumped, event
from router.http.schema.completion import CompletionBody
from router.http.schema.strict import read
from router.strict_json import MAX_DEPTH, parse
from tests.router.http.messages import parsed, summary, written
from tests.router.http.test_tools import model

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
AWKWARD = '\r\n\n\x00\x0b\x0c\x1c\x85\u2028\u2029\ufeff\U0001f642"\\data: [DONE]\n\n: x'


def lines_of(data: bytes, cuts: list[int]) -> list[str]:
    """As a reader that splits at every line end Unicode knows would see them, whatever pieces came."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    text = "".join(data[start:end].decode("ascii") for start, end in pairwise(edges))
    return [line for line in text.splitlines() if line]


def streamed(pieces: list[str], **fields: Any) -> bytes:
    body = read(CompletionBody, {"prompt": "x", **fields})
    stream = CompletionStream(body, [Prompted()], model())
    return b"".join(stream.take(0, (message,)) for message in written(pieces)) + DONE


@settings(max_examples=150)
@given(st.lists(texts, min_size=1, max_size=8), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_any_text_arrives_however_the_bytes_are_cut(pieces: list[str], cuts: list[int]) -> None:
    data = streamed(pieces)
    lines = lines_of(data, cuts)
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "".join(pieces)


def test_what_looks_like_the_end_of_an_event_is_not() -> None:
    for pieces in ([AWKWARD], list(AWKWARD)):
        chunks = parsed(streamed(pieces).removesuffix(DONE))
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == AWKWARD


@settings(max_examples=50)
@given(st.lists(texts, min_size=1, max_size=5), st.integers(1, 50))
def test_the_official_client_reads_them(pieces: list[str], size: int) -> None:
    data = streamed(pieces)
    slices = [data[start : start + size] for start in range(0, len(data), size)]
    events = [sse.data for sse in SSEDecoder().iter_bytes(iter(slices))]
    assert events[-1] == "[DONE]"
    assert "".join(json.loads(each)["choices"][0]["text"] for each in events[:-1]) == "".join(pieces)


def test_a_frame_is_what_the_plain_way_would_write() -> None:
    said = {"id": "a", "object": "b", "created": 1, "model": 'quo"te'}
    for with_usage, more in ((False, {}), (True, {"usage": None})):
        frames = Frames(said, with_usage=with_usage, before='"text":', after=',"finish_reason":null}')
        choice = {"index": 3, "text": AWKWARD, "finish_reason": None}
        expected = event(dumped({**said, "choices": [choice], **more})).decode()
        assert frames.of_text(3, AWKWARD) == frames.of_text(3, AWKWARD) == frames.choice(choice) == expected
    assert json.loads(frames.bare(usage=1)[6:]) == {**said, "choices": [], "usage": 1}
    assert json.loads(frames.choice({"a": 1}, timings=2)[6:]) == {**said, "choices": [{"a": 1}], "timings": 2}


def test_choices_end_in_any_order_and_the_last_waits_for_the_times() -> None:
    body = read(CompletionBody, {"prompt": "x", "n": 2})
    stream = CompletionStream(body, [Prompted()], model())
    accepted, first, _ = written(["a"], choice=1)
    _, second, _ = written(["b"], choice=0)
    assert stream.take(0, (accepted,)) == b""
    ended = parsed(stream.take(0, (first,)))
    assert [chunk["choices"][0]["finish_reason"] for chunk in ended] == [None, "stop"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in parsed(stream.take(0, (second,)))] == [None]
    (last,) = parsed(stream.take(0, (summary(2),)))
    assert (last["choices"][0]["index"], last["choices"][0]["finish_reason"]) == (0, "stop")
    assert last["timings"]["ttft_ms"] == 3.0


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


@given(values)
def test_json_that_means_something_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text('{}[]",:0123.eE+-\\u truefalsn', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = parse(data)
    except InvalidRequest:
        return
    assert json.loads(data) == value


def test_depth_is_counted_outside_of_strings() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse(deep.encode()) is not None
    assert parse(json.dumps(["[" * 500, '"[' * 500]).encode()) == ["[" * 500, '"[' * 500]
    for wrong in ("[" + deep + "]", "[" * 100_000, '{"a":' * 100_000, '"' + "\\" * 100_001 + "[" * 100):
        try:
            parse(wrong.encode())
        except InvalidRequest:
            continue
        raise AssertionError("it was read")
