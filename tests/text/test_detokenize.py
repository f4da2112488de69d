"""Incremental decoding equals decoding all at once, however the tokens come, and never shows half a character."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.detokenize import HELD_BYTES, Detokenizer, WindowDetokenizer, detokenizer
from common.text.tokenizer import Tokenizer
from tests.text.folders import WORDS

BYTE_LEVEL = ("llama3", "qwen", "no-processor", "listed")
SPACED = ("llama2", "llama2-legacy", "mistral", "unigram")
many = settings(max_examples=150)


def streamed(text: Detokenizer, token_ids: Sequence[int], step: int = 1) -> list[str]:
    pieces = [text.feed(token_ids[start : start + step]) for start in range(0, len(token_ids), step)]
    return [*pieces, text.flush()]


@pytest.mark.parametrize("text", [*WORDS[:3], "😀 hello 😀", " leading", "a\ufffdb\ufffd", "ทดสอบภาษาไทย" * 4])
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_texts_come_back_whole(folder: Path, text: str, step: int) -> None:
    tokenizer = Tokenizer.load(folder)
    ids = tokenizer.encode(text)
    pieces = streamed(detokenizer(tokenizer), ids, step)
    assert "".join(pieces) == tokenizer.decode(ids)


@many
@given(data=st.data())
def test_random_tokens_equal_full_decoding(folder: Path, data: st.DataObject) -> None:
    tokenizer = Tokenizer.load(folder)
    some = st.integers(0, tokenizer.vocab_size + 3)
    ids = data.draw(st.lists(some, max_size=HELD_BYTES))
    skip = data.draw(st.booleans())
    text = detokenizer(tokenizer, skip_special_tokens=skip)
    pieces = streamed(text, ids, data.draw(st.integers(1, 4)))
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@many
@given(data=st.data())
def test_long_byte_level_garbage_equals_full_decoding(folders: dict[str, Path], kind: str, data: st.DataObject) -> None:
    tokenizer = Tokenizer.load(folders[kind])
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), min_size=20, max_size=80))
    assert "".join(streamed(detokenizer(tokenizer), ids)) == tokenizer.decode(ids)


@many
@given(prompt=st.text(max_size=12), answer=st.text(max_size=12))
def test_after_a_prompt_the_answer_continues_it(folder: Path, prompt: str, answer: str) -> None:
    tokenizer = Tokenizer.load(folder)
    before, after = tokenizer.encode(prompt), tokenizer.encode(answer, add_special_tokens=False)
    text = detokenizer(tokenizer, prompt=before)
    told = "".join(streamed(text, after))
    if not tokenizer.decode(before).endswith("\ufffd"):
        assert tokenizer.decode(before) + told == tokenizer.decode(before + after)


@pytest.mark.parametrize("kind", SPACED)
def test_a_word_after_a_prompt_keeps_its_space(folders: dict[str, Path], kind: str) -> None:
    tokenizer = Tokenizer.load(folders[kind])
    prompt, word = tokenizer.encode("hello"), tokenizer.encode("hello", add_special_tokens=False)
    assert "".join(streamed(detokenizer(tokenizer), word)) == "hello"
    assert "".join(streamed(detokenizer(tokenizer, prompt=prompt), word)) == " hello"


def test_no_piece_holds_half_a_character(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    ids = tokenizer.encode("naïve 你好 😀😀 café")
    if "\ufffd" not in tokenizer.decode(ids):
        assert not any("\ufffd" in piece for piece in streamed(detokenizer(tokenizer), ids))


def test_a_prompt_that_ends_within_a_character_is_completed_by_the_answer(folders: dict[str, Path]) -> None:
    for kind in ("llama3", "llama2"):
        tokenizer = Tokenizer.load(folders[kind])
        ids = tokenizer.encode("hello 🦀")
        assert tokenizer.decode(ids[:-1]).endswith("\ufffd")
        told = "".join(streamed(detokenizer(tokenizer, prompt=ids[:-1]), ids[-1:]))
        assert told == "🦀"


def test_a_text_written_in_bytes_comes_before_it_ends(folders: dict[str, Path]) -> None:
    tokenizer = Tokenizer.load(folders["llama2"])
    ids = tokenizer.encode("ทดสอบภาษาไทยทดสอบภาษาไทย", add_special_tokens=False)
    pieces = streamed(detokenizer(tokenizer), ids)
    late = [place for place, piece in enumerate(pieces) if piece]
    assert late[0] <= HELD_BYTES + 4
    assert len(late) > 10
    assert "".join(pieces) == tokenizer.decode(ids)


def test_flush_shows_an_incomplete_character(folders: dict[str, Path]) -> None:
    tokenizer = Tokenizer.load(folders["llama3"])
    text = detokenizer(tokenizer)
    ids = tokenizer.encode("🦀", add_special_tokens=False)
    assert len(ids) > 1
    assert text.feed(ids[:-1]) == ""
    assert text.flush() == "\ufffd"


def test_garbage_for_ever_takes_no_more_room(folders: dict[str, Path]) -> None:
    for kind in ("llama3", "llama2"):
        tokenizer = Tokenizer.load(folders[kind])
        last = tokenizer.encode("🦀", add_special_tokens=False)[-1]
        text = detokenizer(tokenizer)
        for _ in range(300):
            text.feed([last])
        if isinstance(text, WindowDetokenizer):
            assert len(text._window) + len(text._context) <= 64
