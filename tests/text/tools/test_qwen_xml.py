"""Values that are bare text: strings as they stand, other types as JSON where they are JSON."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.tools.formats import ToolFormat
from tests.text.tools.reading import cut, read, shown


def call(parameters: list[tuple[str, str]], places: list[int] | None = None) -> list[Any]:
    inner = "".join(f"<parameter={name}>\n{text}\n</parameter>\n" for name, text in parameters)
    text = f"<tool_call>\n<function=weather>\n{inner}</function>\n</tool_call>"
    return shown(read(ToolFormat.QWEN_XML, cut(text, places or [])))


texts = st.lists(
    st.sampled_from(["<", "</", "</parameter", ">", "\n", "\n\n", " ", '"', "\\", "a", "é😀", "</function>"]),
    max_size=9,
).map("".join)


@settings(max_examples=200)
@given(text=texts, places=st.lists(st.integers(0, 150), max_size=6))
def test_a_string_is_what_stands_between_its_lines(text: str, places: list[int]) -> None:
    if "</parameter>" in text + "\n":
        return
    assert [json.loads(said) for _, said in call([("city", text)], places)] == [{"city": text}]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3", 3),
        ("-2.5", -2.5),
        ("true", True),
        ("False", False),
        ("None", None),
        ("three", "three"),
        ('[1, {"a": "b"}]', [1, {"a": "b"}]),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("", ""),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_other_types_are_json_where_they_are(written: str, meant: object) -> None:
    ((_, arguments),) = call([("days", written)])
    assert json.loads(arguments) == {"days": meant}


def test_several_parameters_and_none() -> None:
    assert call([("city", "Oslo"), ("days", "2")]) == [("weather", '{"city": "Oslo", "days": 2}')]
    assert call([]) == [("weather", "{}")]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call><function=weather><parameter=a</parameter>",
        "<tool_call><function=weather>Oslo</function>",
        "<tool_call><function=weather><argument=a>",
    ],
)
def test_what_is_not_well_formed_ends_the_call(text: str) -> None:
    found = shown(read(ToolFormat.QWEN_XML, [text]))
    assert found[0] == ("weather", "{")
    assert text.endswith(str(found[1]))
    assert shown(read(ToolFormat.QWEN_XML, [text], whole=True)) == [text]
