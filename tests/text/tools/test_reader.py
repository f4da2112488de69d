"""Every format's calls, and everything that only looks like one."""

import json

import pytest

from common.text.reasoning import ReasoningFormat
from common.text.tools.formats import ToolFormat
from common.text.tools.parts import CallArguments, CallBegin, Content
from common.text.tools.reader import MAX_UNSETTLED_CHARS, Reader
from tests.text.tools.reading import OFFERED, read, shown

THINK = ReasoningFormat("<think>", "</think>")
H, X, L, P, M, A = (
    ToolFormat.HERMES,
    ToolFormat.QWEN_XML,
    ToolFormat.LLAMA,
    ToolFormat.LLAMA_LIST,
    ToolFormat.MISTRAL,
    ToolFormat.MISTRAL_ARGS,
)
OSLO = ("weather", '{"city": "Oslo"}')
CALLS: list[tuple[ToolFormat, str, list[object]]] = [
    (H, '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>', [OSLO]),
    (H, 'Well.\n\n<tool_call>{"name":"now","arguments":{}}</tool_call>\n', ["Well.", ("now", "{}")]),
    (
        H,
        '<tool_call>{"name":"now"}</tool_call>\n<tool_call>{"name":"now"}</tool_call>!',
        [("now", "{}"), ("now", "{}"), "!"],
    ),
    (H, '<tool_call>{"arguments": {"city": "Oslo"}, "name": "weather", "id": 3}</tool_call>', [OSLO]),
    (H, '<tool_call>{"name":"weather","arguments":"{\\"city\\": \\"Oslo\\"}"}</tool_call>', [OSLO]),
    (H, '<tool_call>{"arguments":"{}","name":"now"}</tool_call>', [("now", "{}")]),
    (H, '<tool_call>{"name":"now","arguments":null}</tool_call>', [("now", "{}")]),
    (H, '<tool_call>{"name":"a.b-c_1"} <tool_call>{"name":"now"}', [("a.b-c_1", "{}"), ("now", "{}")]),
    (H, '<tool_call>{"name":"now"}\n\nand so on', [("now", "{}"), "and so on"]),
    (H, "<tool_call><function=weather><parameter=city>Oslo</parameter></function></tool_call>", [OSLO]),
    (
        X,
        "Ok\n<tool_call>\n<function=weather>\n<parameter=city>\nNew\n\n<b> </para\n\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n<parameter=other>\n3\n</parameter>\n</function>\n</tool_call>",
        ["Ok", ("weather", '{"city": "New\\n\\n<b> </para\\n", "days": 3, "other": "3"}')],
    ),
    (X, "<tool_call><function=now></function></tool_call>x", [("now", "{}"), "x"]),
    (
        X,
        "<tool_call><function=a.b-c_1><parameter=x>True</parameter><parameter=y><<</parameter></function></tool_call>",
        [("a.b-c_1", '{"x": true, "y": "<<"}')],
    ),
    (X, "<tool_call><function=a.b-c_1><parameter=x>NaN</parameter></function>", [("a.b-c_1", '{"x": "NaN"}')]),
    (L, '{"name": "weather", "parameters": {"city": "Oslo"}}', [OSLO]),
    (L, '\n<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}', [OSLO]),
    (L, '{"type": "function", "function": "now", "parameters": {}}', [("now", "{}")]),
    (L, '{"name":"now"}; {"name":"now"}\n{"name":"now"}', [("now", "{}")] * 3),
    (L, '[{"name":"now"}, {"name": "weather", "arguments": {"city": "Oslo"}}]\n', [("now", "{}"), OSLO]),
    (L, 'I look.<|python_tag|>{"name":"now"}', ["I look.", ("now", "{}")]),
    (P, "[weather(city='Oslo'), now()]", [OSLO, ("now", "{}")]),
    (P, "<|python_start|>[now()]<|python_end|>ok", [("now", "{}"), "ok"]),
    (
        P,
        "[a.b-c_1(x=[1, -2.5e3, True, None, []], y={'k': \"it's\", \"l\": {}}, z='\\n\\x41\\u00e9\\'\\q',)]",
        [("a.b-c_1", json.dumps({"x": [1, -2500.0, True, None, []], "y": {"k": "it's", "l": {}}, "z": "\nAé'\\q"}))],
    ),
    (M, '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}, "id": "abcdefghi"}]', [OSLO]),
    (M, 'Hm [TOOL_CALLS][{"name":"now"},\n{"name":"now"}] x', ["Hm", ("now", "{}"), ("now", "{}"), "x"]),
    (M, '[TOOL_CALLS]{"name":"now"}', [("now", "{}")]),
    (A, '[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]now[ARGS]{}', [OSLO, ("now", "{}")]),
    (A, '[TOOL_CALLS]weather[CALL_ID]a1b2c3d4e[ARGS]{"city": "Oslo"}', [OSLO]),
    (A, "[TOOL_CALLS]now{}", [("now", "{}")]),
]


@pytest.mark.parametrize(("format", "text", "expected"), CALLS)
def test_calls_are_read(format: ToolFormat, text: str, expected: list[object]) -> None:
    found = shown(read(format, [text]))
    if text.startswith("[a.b"):
        assert json.loads(found[0][1]) == json.loads(expected[0][1])  # type: ignore[index]
    else:
        assert found == expected


@pytest.mark.parametrize(("format", "text", "expected"), CALLS)
def test_character_by_character_too(format: ToolFormat, text: str, expected: list[object]) -> None:
    assert read(format, text) == read(format, [text]) == read(format, [text], whole=True)


CONTENT = [
    (H, "<tool_call>"),
    (H, "<tool_call>no"),
    (H, '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>'),
    (H, '<tool_call>{"name": 3}</tool_call>'),
    (H, '<tool_call>{"name": "now", "name": "now"}</tool_call>'),
    (H, '<tool_call>{"arguments": {"a": 01}, "name": "now"}</tool_call>'),
    (H, '<tool_call>{"arguments": {}}</tool_call> and <tool_ca'),
    (H, '<tool_call>{"name": "now", "arguments": [1]}</tool_call>'),
    (H, '<tool_call>{"name": "now", "arguments": "[1]"}</tool_call>'),
    (H, '<tool_call>{"name": "now", "arguments": "{\\"a\\": NaN}"}</tool_call>'),
    (H, '<tool_call>{"arguments": ' + "[" * 80),
    (H, '<tool_call>{"arguments": {"a": "\n"}, "name": "now"}'),
    (H, "a < b \n\n  and so on  "),
    (X, "<tool_call><function=unknown></function></tool_call>"),
    (X, "<tool_call><function=now"),
    (L, '{"answer": 42}'),
    (L, '  {"name": "Alice", "parameters": {}}'),
    (L, "[link](somewhere)"),
    (L, 'Sure: {"name":"now"}'),
    (L, "<|python_tag|>print(1)"),
    (L, "<b>"),
    (P, "[1, 2]"),
    (P, "[unknown(a=1)]"),
    (M, "[TOOL_CALLS"),
    (M, "[TOOL_CALLS] []"),
    (A, "[TOOL_CALLS]unknown[ARGS]{}"),
    (A, "[TOOL_CALLS]now[CALL]{}"),
    (None, '<tool_call>{"name": "now"}</tool_call>'),
]


@pytest.mark.parametrize(("format", "text"), CONTENT)
@pytest.mark.parametrize("whole", [False, True])
def test_what_only_looks_like_a_call_is_content(format: ToolFormat | None, text: str, whole: bool) -> None:
    assert read(format, [text], whole=whole) == read(format, text, whole=whole) == (Content(text),)


def test_without_functions_nothing_is_a_call() -> None:
    assert shown(read(H, ['<tool_call>{"name": "now"}'], offered={})) == ['<tool_call>{"name": "now"}']


def test_arguments_are_shown_as_they_come() -> None:
    reader = Reader(H, OFFERED, new_id=lambda: "x")
    assert reader.feed('<tool_call>{"name": "weather", "arguments"') == ()
    assert reader.feed(': {"city": "Os') == (CallBegin(0, "x", "weather"), CallArguments(0, '{"city": "Os'))
    assert reader.feed("lo") == (CallArguments(0, "lo"),)
    assert reader.feed('"}}\n</tool_call>') == (CallArguments(0, '"}'),)
    assert reader.end() == ()


def test_a_call_that_breaks_after_it_was_shown_goes_on_as_content() -> None:
    text = '<tool_call>{"name": "weather", "arguments": {"city": Oslo}}</tool_call>'
    assert shown(read(H, text)) == [("weather", '{"city": '), "Oslo}}</tool_call>"]
    assert shown(read(H, text, whole=True)) == [text]


def test_a_call_that_is_cut_off() -> None:
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Os'
    assert shown(read(H, text)) == [("weather", '{"city": "Os')]
    assert shown(read(H, text, whole=True)) == [text]


def test_good_calls_stand_when_a_later_one_is_bad() -> None:
    text = '[TOOL_CALLS] [{"name": "now"}, {"name": "then"}]'
    assert shown(read(M, text)) == shown(read(M, text, whole=True)) == [("now", "{}"), ', {"name": "then"}]']


def test_indices_count_the_calls_that_stand() -> None:
    text = '<tool_call>{"name":"now"}</tool_call><tool_call>{"name":"now","x":}<tool_call>{"name":"now"}'
    begun = [part for part in read(H, text, whole=True) if isinstance(part, CallBegin)]
    assert [part.index for part in begun] == [0, 1]


def test_what_is_held_is_bounded() -> None:
    text = '<tool_call>{"arguments": "' + "x" * (MAX_UNSETTLED_CHARS + 100)
    reader = Reader(H, OFFERED)
    out = sum(len(part.text) for part in reader.feed(text) if isinstance(part, Content))
    assert out >= MAX_UNSETTLED_CHARS
    assert shown(read(H, [text])) == [text]
    assert shown(read(H, [text[:99], text[99:-3], text[-3:]])) == [text]


def test_calls_within_reasoning_are_reasoning() -> None:
    text = '<think>\n<tool_call>{"name":"now"}</tool_call>\n</think>\n\n<tool_call>{"name":"now"}</tool_call>'
    assert shown(read(H, text, reasoning=THINK)) == [{'<tool_call>{"name":"now"}</tool_call>'}, ("now", "{}")]
    assert shown(read(L, '<think>x</think>\n{"name":"now"}', reasoning=THINK)) == [{"x"}, ("now", "{}")]
