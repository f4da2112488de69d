"""One choice's text: against the plain way of finding where it ends, over any tokens, stops and limits."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types.sampling import FinishReason, SampledToken, TokenLogprobs
from router.answer import Answer, Delta, joined

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


class Letters:
    """A token is one character, and `~` holds back whatever comes before the next one, as half a character would."""

    def __init__(self) -> None:
        self.held = ""

    def feed(self, token_ids: Sequence[int]) -> str:
        text = self.held + "".join(map(chr, token_ids))
        self.held = "~" if text.endswith("~") else ""
        return text.removesuffix("~")

    def flush(self) -> str:
        held, self.held = self.held, ""
        return "?" if held else ""


def tokens(text: str, last: FinishReason | None = None, first: int = 0) -> list[SampledToken]:
    """One of each character; the last one ends the answer that way."""
    end = len(text) - 1
    return [
        SampledToken(
            0, first + place, ord(character), TokenLogprobs(ord(character), -1.0), last if place == end else None
        )
        for place, character in enumerate(text)
    ]


def told(answer: Answer, given: Sequence[SampledToken]) -> Delta:
    """All that a client sees of these, up to the end."""
    deltas = []
    for token in given:
        deltas.append(answer.add(token))
        if deltas[-1].finish is not None:
            break
    return joined(deltas)


def plainly(text: str, stops: Sequence[str], min_tokens: int, last: FinishReason) -> tuple[str, FinishReason]:
    """Character by character: what comes before `min_tokens` cannot be part of a stop string."""
    said = text[:-1] if last is STOP else text
    for end in range(min_tokens + 1, len(said) + 1):
        found = [stop for stop in stops if said[min_tokens:end].endswith(stop)]
        if found:
            return said[: end - max(map(len, found))], STOP
    return said, last


@settings(max_examples=250)
@given(
    text=st.text("abc", min_size=1, max_size=14),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    min_tokens=st.integers(0, 6),
    last=st.sampled_from([STOP, LENGTH]),
)
def test_the_text_ends_where_it_plainly_should(
    text: str, stops: list[str], min_tokens: int, last: FinishReason
) -> None:
    seen = told(Answer(Letters(), tuple(stops), min_tokens), tokens(text, last))
    assert (seen.text, seen.finish) == plainly(text, stops, min_tokens, last)
    assert len(seen.token_ids) == len(seen.logprobs)


@settings(max_examples=100)
@given(text=st.text("ab", min_size=1, max_size=10), stops=st.lists(st.text("ab", min_size=1, max_size=3), max_size=2))
def test_what_is_out_is_never_taken_back(text: str, stops: list[str]) -> None:
    """Every prefix that a client has seen is a prefix of the whole."""
    answer, out = Answer(Letters(), tuple(stops), 0), ""
    whole = plainly(text, stops, 0, LENGTH)[0]
    for token in tokens(text, LENGTH):
        delta = answer.add(token)
        out += delta.text
        assert whole.startswith(out)
        if delta.finish is not None:
            break
    assert out == whole


def test_a_token_that_stops_is_counted_and_not_shown() -> None:
    seen = told(Answer(Letters(), (), 0), tokens("ab!", STOP))
    assert (seen.text, seen.token_ids, seen.finish) == ("ab", (97, 98, 33), STOP)


def test_the_last_token_of_the_limit_is_shown() -> None:
    seen = told(Answer(Letters(), (), 0), tokens("ab!", LENGTH))
    assert (seen.text, seen.finish) == ("ab!", LENGTH)


def test_a_stop_string_at_the_limit_is_a_stop() -> None:
    seen = told(Answer(Letters(), ("b!",), 0), tokens("ab!", LENGTH))
    assert (seen.text, seen.finish) == ("a", STOP)


@pytest.mark.parametrize("last", [STOP, LENGTH])
def test_what_may_have_become_a_stop_string_comes_in_the_end(last: FinishReason) -> None:
    answer = Answer(Letters(), ("xyz",), 0)
    assert [answer.add(token).text for token in tokens("axy")] == ["a", "", ""]
    assert answer.add(tokens("x", last, 3)[0]).text == ("xyx" if last is LENGTH else "xy")


def test_half_a_character_waits_for_the_other_half_and_no_longer_than_the_end() -> None:
    answer = Answer(Letters(), (), 0)
    assert [answer.add(token).text for token in tokens("a~")] == ["a", ""]
    assert answer.add(tokens("b", None, 2)[0]).text == "~b"
    assert told(Answer(Letters(), (), 0), tokens("a~", LENGTH)).text == "a?"
    assert told(Answer(Letters(), (), 0), tokens("a~!", STOP)).text == "a?"


def test_half_a_character_can_end_in_a_stop_string() -> None:
    """Only what is shown in its place counts: the answer was over, and the text says the stop string."""
    seen = told(Answer(Letters(), ("?",), 0), tokens("a~", LENGTH))
    assert (seen.text, seen.finish) == ("a", STOP)


def test_text_out_before_the_least_number_is_no_beginning_of_a_stop() -> None:
    seen = told(Answer(Letters(), ("ab",), 1), tokens("abab", LENGTH))
    assert (seen.text, seen.finish) == ("ab", STOP)


def test_indices_count_over_attempts() -> None:
    """A retry goes on with the index it was at; the answer only reads what it is given."""
    answer = Answer(Letters(), ("b",), 3)
    assert told(answer, tokens("ab")).finish is None
    assert told(answer, tokens("b", first=2)).text == "b"
    seen = told(answer, tokens("ab", first=3))
    assert (seen.text, seen.finish) == ("a", STOP)


def test_one_delta_is_itself_and_several_are_in_order() -> None:
    one = Delta(2, "a", (1,), (TokenLogprobs(1, -1.0),), None)
    two = Delta(2, "b", (2, 3), (), LENGTH)
    assert joined([one]) is one
    assert joined([one, two]) == Delta(2, "ab", (1, 2, 3), (TokenLogprobs(1, -1.0),), LENGTH)
