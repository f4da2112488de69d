"""Tokens that are plain bytes: at every split, after every prompt, the same text as all of them at once."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.detokenize import detokenizer
from common.text.detokenize_bytes import ByteDetokenizer
from common.text.tokenizer import Tokenizer

KINDS = ("llama3", "qwen", "no-processor", "listed")
NONE: frozenset[int] = frozenset()
many = settings(max_examples=60)


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Tokenizer:
    return Tokenizer.load(folders[request.param])


@many
@given(data=st.data())
def test_every_split_says_the_same(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Garbage, special tokens and ids beyond the vocabulary among them."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size + 2), max_size=9))
    skip = data.draw(st.booleans())
    whole = tokenizer.decode(ids, skip_special_tokens=skip)
    for cut in range(len(ids) + 1):
        text = ByteDetokenizer(tokenizer, (), skip, NONE)
        assert text.feed(ids[:cut]) + text.feed(ids[cut:]) + text.flush() == whole
    text = ByteDetokenizer(tokenizer, (), skip, NONE)
    assert "".join([*(text.feed([one]) for one in ids), text.flush()]) == whole


@many
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=6), cut=st.integers(0, 24))
def test_what_is_out_is_whole_characters(tokenizer: Tokenizer, text: str, cut: int) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    shown = ByteDetokenizer(tokenizer, (), True, NONE)
    data = b"".join(tokenizer.token_bytes[id] for id in ids[:cut])
    assert shown.feed(ids[:cut]) == data.decode("utf-8", "ignore"), "all of them, and nothing of the next one"


@many
@given(data=st.data())
def test_a_prompt_gives_only_the_character_it_left_open(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """However long it is, and whatever tokens end it."""
    text = data.draw(st.text("aé😀߷๛𝄞🦀", min_size=1, max_size=8))
    ids = tokenizer.encode(text, add_special_tokens=False)
    cut = data.draw(st.integers(0, len(ids)))
    shown = detokenizer(tokenizer, prompt=ids[:cut])
    told = shown.feed(ids[cut:]) + shown.flush()
    before = tokenizer.decode(ids[:cut]).removesuffix("\ufffd")
    assert before + told == tokenizer.decode(ids)


def test_specials_are_text_where_they_are_marks(tokenizer: Tokenizer) -> None:
    special = min(tokenizer.special_ids)
    name = tokenizer.decode([special], skip_special_tokens=False)
    a = tokenizer.encode("a", add_special_tokens=False)
    for skip, shown, expected in (
        (True, NONE, "aa"),
        (True, frozenset([special]), f"a{name}a"),
        (False, NONE, f"a{name}a"),
    ):
        text = ByteDetokenizer(tokenizer, (), skip, shown)
        assert text.feed([*a, special, *a]) + text.flush() == expected
    others = tokenizer.special_ids - {special}
    text = ByteDetokenizer(tokenizer, (), True, frozenset([special]))
    assert text.feed([*others, special]) == name, "only the ones that were named"


def test_a_special_token_within_a_character_ends_nothing(tokenizer: Tokenizer) -> None:
    """It is no part of the text, so the character goes on behind it."""
    crab = tokenizer.encode("🦀", add_special_tokens=False)
    text = detokenizer(tokenizer)
    special = min(tokenizer.special_ids)
    ids = [*crab[:1], special, *crab[1:]]
    assert "".join(text.feed([one]) for one in ids) == "🦀" == tokenizer.decode(ids)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_an_end_within_a_character_shows_one_mark(folders: dict[str, Path], missing: int) -> None:
    tokenizer = Tokenizer.load(folders["llama3"])
    ids = tokenizer.encode("🦀", add_special_tokens=False)
    data = b"".join(tokenizer.token_bytes[id] for id in ids)
    by_byte = {value: id for id, value in tokenizer.token_bytes.items() if len(value) == 1}
    text = ByteDetokenizer(tokenizer, (), True, NONE)
    assert text.feed([by_byte[bytes([byte])] for byte in data[:-missing]]) == ""
    assert text.flush() == "\ufffd"


def test_nothing_says_nothing(tokenizer: Tokenizer) -> None:
    text = ByteDetokenizer(tokenizer, (), True, NONE)
    assert text.feed([]) + text.feed([]) + text.flush() == ""
