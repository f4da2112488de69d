"""Any text, in any format, split anywhere: the same parts, nothing lost, and never an error."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.reasoning import ReasoningFormat
from common.text.tools.formats import ToolFormat
from common.text.tools.parts import CallArguments, CallBegin, Content, Part, Reasoning
from tests.text.tools.reading import OFFERED, cut, read

THINK = ReasoningFormat("<think>", "</think>")
WORDS = [
    "<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>",
    "<|python_start|>", "<|python_end|>", "<function=now>", "<function=weather>", "<parameter=city>", "</parameter>",
    "</function>", '{"name": "now"', '"arguments": ', '"parameters": {}', '{"name": "weather", "arguments": {"city": "',
    "{}", "}", "[", "]", "now(", "weather(city='x'", ")", ", ", ";", "\n", "  ", " " * 17, '"', "\\", "1e", "-",
    "é😀", "now", "<", "nul",
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), max_size=14).map("".join)
formats = st.sampled_from([None, *ToolFormat])
cuts = st.lists(st.integers(0, 200), max_size=12)
options = st.fixed_dictionaries(
    {"reasoning": st.sampled_from([None, THINK]), "inside_reasoning": st.booleans(), "whole": st.booleans()}
)


@settings(max_examples=400)
@given(format=formats, text=texts, places=cuts, options=options)
def test_splits_make_no_difference(
    format: ToolFormat | None, text: str, places: list[int], options: dict[str, Any]
) -> None:
    parts = read(format, [text], **dict(options))
    assert read(format, text, **dict(options)) == parts
    assert read(format, cut(text, places), **dict(options)) == parts


@settings(max_examples=300)
@given(format=formats, text=texts)
def test_what_a_finished_call_says_is_an_object_and_the_rest_is_not_lost(format: ToolFormat | None, text: str) -> None:
    parts = read(format, text, whole=True)
    for part in parts:
        if isinstance(part, CallBegin):
            assert part.name in OFFERED
            said = "".join(p.text for p in parts if isinstance(p, CallArguments) and p.index == part.index)
            assert isinstance(json.loads(said), dict)
    if not any(isinstance(part, CallBegin) for part in parts):
        assert "".join(part.text for part in parts if isinstance(part, Content)) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


@settings(max_examples=150)
@given(
    format=st.sampled_from([ToolFormat.HERMES, ToolFormat.LLAMA, ToolFormat.MISTRAL, ToolFormat.MISTRAL_ARGS]),
    calls=st.lists(st.tuples(st.sampled_from(sorted(OFFERED)), objects), min_size=1, max_size=3),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
    places=cuts,
)
def test_what_templates_write_comes_back(
    format: ToolFormat, calls: list[tuple[str, dict[str, Any]]], ascii_only: bool, indent: int | None, places: list[int]
) -> None:
    def dumped(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    match format:
        case ToolFormat.HERMES:
            text = "\n".join(
                f"<tool_call>\n{dumped({'name': name, 'arguments': said})}\n</tool_call>" for name, said in calls
            )
        case ToolFormat.LLAMA:
            text = "; ".join(dumped({"name": name, "parameters": said}) for name, said in calls)
        case ToolFormat.MISTRAL:
            text = "[TOOL_CALLS] " + dumped([{"name": name, "arguments": said} for name, said in calls])
        case _:
            text = "".join(f"[TOOL_CALLS]{name}[ARGS]{dumped(said)}" for name, said in calls)
    parts = read(format, cut(text, places))
    assert [part.name for part in parts if isinstance(part, CallBegin)] == [name for name, _ in calls]
    assert not any(isinstance(part, Content | Reasoning) for part in parts)
    for index, (_, said) in enumerate(calls):
        assert json.loads(_arguments(parts, index)) == said


def _arguments(parts: tuple[Part, ...], index: int) -> str:
    return "".join(part.text for part in parts if isinstance(part, CallArguments) and part.index == index)
