"""Python's literals become the JSON of the same value."""

import ast
import json
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.tools.formats import ToolFormat
from tests.text.tools.reading import cut, read, shown

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab'\" \\", max_size=4), inner, max_size=3),
    max_leaves=6,
)


def call(text: str, pieces: list[int] | None = None) -> list[Any]:
    return shown(read(ToolFormat.LLAMA_LIST, cut(text, pieces or [])))


@settings(max_examples=200)
@given(said=values, places=st.lists(st.integers(0, 120), max_size=6))
def test_any_literal_comes_through(said: Any, places: list[int]) -> None:
    ((name, arguments),) = call(f"[weather(x={said!r})]", places)
    assert name == "weather"
    assert json.loads(arguments) == {"x": said}


WAYS = [r"'\''", r'"\""', r"'\t\n\\'", r"'\x41\u00e9\U0001f600'", "'two\\\nlines'", r"'\d'", "[1,]", "{'a': 1,}"]
NO_LITERALS = ["b'x'", "f'x'", "(1,)", "{1}", "01", "x", "1+1", "'\\xg1'", "'\\U00110000'", "{1: 2}", "inf", "a.b"]


@pytest.mark.parametrize("written", WAYS)
def test_ways_to_write(written: str) -> None:
    ((_, arguments),) = call(f"[weather(x={written})]")
    with pytest.warns() if "\\d" in written else nullcontext():
        assert json.loads(arguments) == {"x": ast.literal_eval(written)}


@pytest.mark.parametrize("written", NO_LITERALS)
def test_what_is_no_literal_breaks_the_call(written: str) -> None:
    found = call(f"[weather(x={written})]")
    assert found[0][1].startswith('{"x": ')
    assert found[1].endswith(")]")
    assert f"{written})]".endswith(found[1])


@pytest.mark.parametrize("text", ["[weather('Oslo')]", "[weather(x=1 y=2)]", "[weather(x)]"])
def test_arguments_have_names(text: str) -> None:
    assert isinstance(call(text)[-1], str)
