"""Reasoning told from content, wherever the text is split."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.reasoning import ReasoningFormat, ReasoningReader
from common.text.tools.parts import Part, Reasoning, merged
from tests.text.tools.reading import cut, shown

THINK = ReasoningFormat("<think>", "</think>")


def split(pieces: list[str], inside: bool = False) -> tuple[Part, ...]:
    reader = ReasoningReader(THINK, inside)
    parts = [part for piece in pieces for part in reader.feed(piece)]
    return merged((*parts, *reader.end()))


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [
        ("<think>\nhm\n</think>\n\nyes", False, [{"hm"}, "yes"]),
        (" \n<think>hm</think>", False, [{"hm"}]),
        ("<think>hm", False, [{"hm"}]),
        ("<think>\n\n</think>\n\nyes ", False, ["yes "]),
        ("yes", False, ["yes"]),
        ("  yes <think>no</think>", False, ["  yes <think>no</think>"]),
        ("<thin", False, ["<thin"]),
        ("hm</think>yes", False, ["hm</think>yes"]),
        ("hm\n</think>\nyes", True, [{"hm"}, "yes"]),
        ("<think>\nhm</think>yes", True, [{"hm"}, "yes"]),
        ("hm </thi", True, [{"hm </thi"}]),
        ("</think>yes</think>", True, ["yes</think>"]),
        ("\n \n", True, []),
        ("", False, []),
    ],
)
def test_what_is_reasoning(text: str, inside: bool, expected: list[object]) -> None:
    assert shown(split([text], inside)) == expected
    assert shown(split(list(text), inside)) == expected


texts = st.lists(
    st.sampled_from(["<think>", "</think>", "<th", "</", " ", "\n", " " * 9, "a", "é😀"]), max_size=12
).map("".join)


@settings(max_examples=300)
@given(text=texts, inside=st.booleans(), cuts=st.lists(st.integers(0, 80), max_size=8))
def test_splits_make_no_difference(text: str, inside: bool, cuts: list[int]) -> None:
    parts = split([text], inside)
    assert split(list(text), inside) == parts
    assert split(cut(text, cuts), inside) == parts
    assert sum(isinstance(part, Reasoning) for part in parts) <= 1
