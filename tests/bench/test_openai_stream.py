"""What events bring: tokens, text, counts, errors."""

import json

import pytest

from loadtest.bench.openai_stream import BadStream, EventLines, Said, said


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def chat(finish: str | None = None, **delta: object) -> bytes:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}], usage=None)


@pytest.mark.parametrize("size", range(1, 40))
def test_lines_at_every_split(size: int) -> None:
    stream = b': ping\n\nevent: x\ndata: {"a":1}\r\n\r\ndata:[DONE]\n\n'
    lines = EventLines()
    found = [line for at in range(0, len(stream), size) for line in lines.feed(stream[at : at + size])]
    assert found == [b'{"a":1}', b"[DONE]"]


@pytest.mark.parametrize(
    ("data", "brings", "text"),
    [
        (event(choices=[{"text": "a", "finish_reason": None}]), True, "a"),
        (event(choices=[{"text": "a", "finish_reason": "length"}]), True, "a"),
        (event(choices=[{"text": "", "finish_reason": None}]), True, ""),
        (event(choices=[{"text": "", "finish_reason": "length"}]), False, ""),
        (chat(role="assistant", content=""), False, ""),
        (chat(role="assistant", content="a"), True, "a"),
        (chat(content="a"), True, "a"),
        (chat(content=""), True, ""),
        (chat("stop"), False, ""),
        (chat("stop", content="a"), True, "a"),
        (chat(reasoning_content="hm"), True, ""),
        (chat(tool_calls=[{"index": 0}]), True, ""),
        (event(choices=[], usage=None), False, ""),
    ],
)
def test_which_events_bring_tokens(data: bytes, brings: bool, text: str) -> None:
    assert (said(data).brings_tokens, said(data).text) == (brings, text)


def test_counts() -> None:
    data = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    assert said(data) == Said(num_input=7, num_output=3)


@pytest.mark.parametrize(
    ("data", "only"),
    [
        (event(choices=[{"text": "", "finish_reason": "length"}]), True),
        (event(choices=[{"text": "a", "finish_reason": "length"}]), False),
        (chat("stop"), True),
        (chat("stop", content="a"), False),
        (chat(content="a"), False),
        (event(choices=[]), False),
    ],
)
def test_which_events_only_end_an_answer(data: bytes, only: bool) -> None:
    assert said(data).only_ends is only


def test_errors_have_their_kind() -> None:
    assert said(event(error={"message": "no", "type": "overloaded", "code": None})).error == "stream error overloaded"
    assert said(event(error={"code": 503})).error == "stream error 503"
    assert said(event(error="no")).error == "stream error"


def test_the_end() -> None:
    assert said(b"[DONE]").done


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[1]",
        b"hello",
        b'{"choices": [1]}',
        b'{"choices": [{"text": 5}]}',
        b'{"choices": [{"delta": {"content": ["x"]}}]}',
        b'{"choices": {"0": {}}}',
        b'{"choices": [{"delta": "text"}]}',
        b'{"choices": [], "usage": [1]}',
        b'{"choices": [], "usage": {"prompt_tokens": "many"}}',
    ],
)
def test_what_is_no_event(data: bytes) -> None:
    with pytest.raises(BadStream):
        said(data)
