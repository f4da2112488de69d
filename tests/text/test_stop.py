"""Stop strings: the same cut for every way of splitting the text, nothing lost, nothing shown too early."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.stop import StopStrings

letters = st.text(alphabet="abc", max_size=24)
stop_lists = st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=16)


def reference(text: str, stops: list[str]) -> tuple[str, bool]:
    """Character by character, with the whole text at hand each time."""
    for end in range(len(text) + 1):
        ended = [stop for stop in stops if text[:end].endswith(stop)]
        if ended:
            return text[: end - max(map(len, ended))], True
    return text, False


def told(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    watch, parts, stopped = StopStrings(stops), [], False
    for piece in pieces:
        part, stopped = watch.feed(piece)
        parts.append(part)
    return "".join(parts) + watch.flush(), stopped


@settings(max_examples=500)
@given(text=letters, stops=stop_lists, data=st.data())
def test_any_splitting_equals_the_whole(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert told(pieces, stops) == reference(text, stops)


def test_every_splitting_of_one_text() -> None:
    text, stops = "aabaabc", ["aabc", "bb", "abaa"]
    for cuts in itertools.product((False, True), repeat=len(text) - 1):
        pieces = [text[0]]
        for character, cut in zip(text[1:], cuts, strict=True):
            if cut:
                pieces.append(character)
            else:
                pieces[-1] += character
        assert told(pieces, stops) == reference(text, stops)


@settings(max_examples=200)
@given(text=letters, stops=stop_lists)
def test_only_what_may_become_a_stop_is_held(text: str, stops: list[str]) -> None:
    watch = StopStrings(stops)
    out, stopped = watch.feed(text)
    if not stopped:
        held = text[len(out) :]
        assert out + held == text
        assert held == "" or any(stop.startswith(held) and stop != held for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["abc"], [], ("abc", False)),
        (["hel", "lo EN", "D more"], ["END"], ("hello ", True)),
        (["abcd"], ["abcd", "bc"], ("a", True)),
        (["xaab"], ["b", "ab", "aab"], ("x", True)),
        (["你", "好吗", "再见"], ["好吗再"], ("你", True)),
        (["aaaa"], ["aab"], ("aaaa", False)),
        (["END"], ["END"], ("", True)),
    ],
)
def test_examples(pieces: list[str], stops: list[str], expected: tuple[str, bool]) -> None:
    assert told(pieces, stops) == expected


def test_after_the_stop_there_is_nothing() -> None:
    watch = StopStrings(["x"])
    assert watch.feed("axb") == ("a", True)
    assert watch.feed("more") == ("", True)
    assert watch.flush() == ""


def test_what_cannot_become_a_stop_goes_out_at_once() -> None:
    watch = StopStrings(["\n\nHuman:"])
    assert watch.feed("hello\n") == ("hello", False)
    assert watch.feed("world") == ("\nworld", False)
    assert watch.flush() == ""
