"""Log probabilities as they are shown: places in the text, names of tokens that are no characters, finite numbers."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.token_bytes import TokenBytes
from common.text.tokenizer import Tokenizer
from common.types.sampling import TokenLogprobs
from router.http.logprobs import LOWEST, CompletionLogprobs, finite, of_chat, prompt_scores
from tests.constrained import tokenizer as letters
from tests.router.folder import model_folder
from tests.text.folders import KINDS, build

MANY = "aé你😀 ~"
"""Characters of one to four bytes; in the tests' vocabulary every byte is a token."""


@pytest.fixture
def names(tmp_path: Path) -> TokenBytes:
    return TokenBytes(Tokenizer.load(model_folder(tmp_path / "tiny")))


def scored(token_ids: list[int]) -> list[TokenLogprobs]:
    return [TokenLogprobs(token_id, -0.25) for token_id in token_ids]


def offsets(names: TokenBytes, token_ids: list[int]) -> list[int]:
    found: list[int] = CompletionLogprobs(names, 0).answer(scored(token_ids))["text_offset"]
    return found


def test_a_token_begins_where_its_character_does(names: TokenBytes) -> None:
    ids = letters().encode(MANY)
    assert len(ids) == len(MANY.encode())
    assert offsets(names, ids) == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5]


@settings(max_examples=80)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12), cut=st.integers(0, 40))
def test_offsets_point_at_the_character_in_the_text(text: str, cut: int) -> None:
    """Also where the answer comes in two pieces, cut within a character."""
    ids = letters().encode(text)
    shown = CompletionLogprobs(TokenBytes(letters()), 0)
    found = [
        *shown.answer(scored(ids[:cut]))["text_offset"],
        *shown.answer(scored(ids[cut:]))["text_offset"],
    ]
    assert found == [place for place, character in enumerate(text) for _ in character.encode()]


def test_special_tokens_take_no_place(names: TokenBytes) -> None:
    end = 257
    ids = [end, *letters().encode("é"), end, *letters().encode("b")]
    assert offsets(names, ids) == [0, 0, 0, 1, 1]


def test_bytes_that_are_no_character_take_as_much_as_they_show(names: TokenBytes) -> None:
    broken = [letters().encode("😀")[0], *letters().encode("ab")]
    assert letters().decode(broken) == "\ufffdab"
    assert offsets(names, broken) == [0, 0, 2]


def test_an_echoed_prompt_comes_before_the_answer(names: TokenBytes) -> None:
    prompt, answer = letters().encode("hé"), letters().encode("😀!")
    shown = CompletionLogprobs(names, 1)
    before, after = shown.prompt(prompt, scored(prompt[1:])), shown.answer(scored(answer))
    assert before["token_logprobs"] == [None, -0.25, -0.25]
    assert before["top_logprobs"][0] is None, "nothing precedes the first token"
    assert before["text_offset"] == [0, 1, 1]
    assert after["text_offset"] == [2, 2, 2, 2, 3]


def test_tokens_that_are_no_characters_have_names_of_their_own(names: TokenBytes) -> None:
    ids = letters().encode("😀")
    (first, *_) = of_chat(scored(ids), names)
    assert (first["token"], first["bytes"]) == ("bytes:\\xf0", [0xF0])
    assert b"".join(bytes(each["bytes"]) for each in of_chat(scored(ids), names)).decode() == "😀"
    assert len({each["token"] for each in of_chat(scored(ids), names)}) == 4


def test_alternatives_hold_the_token_itself_once(names: TokenBytes) -> None:
    a, b, c = letters().encode("abc")
    top = ((a, -0.1), (b, -0.2), (c, -3.0))
    lists = CompletionLogprobs(names, 2).answer([TokenLogprobs(a, -0.1, top), TokenLogprobs(c, -3.0, top)])
    assert lists["top_logprobs"] == [{"a": -0.1, "b": -0.2}, {"a": -0.1, "b": -0.2, "c": -3.0}]
    assert CompletionLogprobs(names, 0).answer([TokenLogprobs(c, -3.0, top)])["top_logprobs"] == [{"c": -3.0}]
    (chat,) = of_chat([TokenLogprobs(c, -3.0, top)], names)
    assert [each["token"] for each in chat["top_logprobs"]] == ["a", "b", "c"]


@pytest.mark.parametrize("logprob", [-math.inf, math.inf, math.nan])
def test_what_json_cannot_say_is_the_lowest(names: TokenBytes, logprob: float) -> None:
    assert finite(logprob) == LOWEST
    token = TokenLogprobs(letters().encode("a")[0], logprob, ((letters().encode("b")[0], logprob),))
    lists = CompletionLogprobs(names, 1).answer([token])
    chat, prompt = of_chat([token], names), prompt_scores([token], names, 1)
    assert json.dumps([lists, chat, prompt], allow_nan=False).count("-9999.0") == 7


def test_a_prompts_scores_are_by_id(names: TokenBytes) -> None:
    a, b, c = letters().encode("abc")
    scores = prompt_scores([TokenLogprobs(c, -2.0, ((a, -0.1), (b, -0.2)))], names, 1)
    assert scores == [
        None,
        {str(a): {"logprob": -0.1, "decoded_token": "a"}, str(c): {"logprob": -2.0, "decoded_token": "c"}},
    ]
    assert prompt_scores([], names, 5) == [None]


def test_ids_beyond_the_vocabulary_stand_for_nothing(names: TokenBytes) -> None:
    assert offsets(names, [99_999, *letters().encode("ab")]) == [0, 0, 1]
    (shown,) = of_chat(scored([99_999]), names)
    assert (shown["token"], shown["bytes"]) == ("", [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["hello world, this is a test", "  two  spaces", "naïve café 你好 😀!", "a"])
def test_offsets_of_an_echoed_prompt_point_into_it(tmp_path: Path, kind: str, text: str) -> None:
    """Also where the tokenizer puts a space in front of a text that its decoder takes away again."""
    tokenizer = Tokenizer.load(build(kind, tmp_path))
    names, ids = TokenBytes(tokenizer), tokenizer.encode(text)
    echoed = CompletionLogprobs(names, 0).prompt(ids, scored(ids[1:]))
    offsets, shown = echoed["text_offset"], tokenizer.decode(ids)
    assert offsets[0] == 0
    for start, end, token_id in zip(offsets, [*offsets[1:], len(shown)], ids, strict=True):
        if names.is_special(token_id):
            assert start == end
        elif not names.text(token_id).startswith("bytes:") and start != 0:
            assert shown[start:end] == names.text(token_id)
