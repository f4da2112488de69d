"""JSON as it comes is taken exactly where json.loads takes it as a whole."""

import json
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.tools.grammar_steps import Echo, Steps
from common.text.tools.json_steps import MAX_DEPTH, MAX_NUMBER_CHARS, value
from tests.text.tools.stepping import steps

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
spoilt = st.text(alphabet='{}[]",:\\ \n0-+.eEtruefalsn\u00e9\x01', max_size=12)


def whole(text: str, pieces: list[str] | None = None) -> tuple[str, str, str]:
    """An array around it, so that a number ends too."""

    def array(echo: Echo) -> Steps[str]:
        return (yield from value("[", echo))

    given = [f"{text}]"] if pieces is None else [*pieces, "]"]
    return steps(array, given)


def is_json(text: str) -> bool:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        json.loads(f"[{text}]", parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


@settings(max_examples=200)
@given(said=values, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_what_json_writes_is_taken_and_echoed(said: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(said, indent=indent, ensure_ascii=ascii_only)
    assert whole(text) == whole("", list(text)) == ("done", f"[{text}]", "")


@settings(max_examples=500)
@given(said=values, place=st.integers(0, 60), other=spoilt)
def test_what_json_does_not_take_is_not_taken(said: Any, place: int, other: str) -> None:
    text = json.dumps(said)
    text = text[:place] + other + text[place + 1 :]
    end, echoed, left = whole(text)
    assert (end == "done" and not left) == is_json(text)
    assert f"[{text}]".startswith(echoed), "nothing is echoed that was not said"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("01", "broken"),
        ("1.", "broken"),
        ("-", "broken"),
        ("1e5", "done"),
        ("tru]", "broken"),
        ('"\\u12g4"', "broken"),
        ('"\\x41"', "broken"),
        ('"\t"', "broken"),
        ('{"a" 1}', "broken"),
        ('{"a": 1,}', "broken"),
        ("[1,]", "broken"),
        ("NaN", "broken"),
        ("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1), "done"),
        ("[" * (MAX_DEPTH + 1), "broken"),
        ("1" * MAX_NUMBER_CHARS, "done"),
        ("1" * (MAX_NUMBER_CHARS + 1), "broken"),
    ],
)
def test_borders(text: str, end: str) -> None:
    assert whole(text)[0] == end


def test_a_number_is_echoed_once_it_is_over() -> None:
    assert steps(lambda echo: value("[", echo), ["[1, 23"]) == ("open", "[[1, ", "")
