"""The same ids and texts as transformers, for every kind of folder; clear errors for broken ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.tokenizer import Tokenizer
from common.types.errors import ModelError
from tests.text.folders import WORDS, build, referee

TEXTS = [
    *WORDS[:3],
    "",
    " ",
    "hello",
    " hello  world ",
    "<s>hello</s> hello <s> x",
    "<|bos|>hello <|im_start|>user\nhi<|eos|>",
    "a<tool>b<|extra|>c<|more|> d<|pad|>",
    "<0x41> ▁ ▁▁hello",
]
quick = settings(max_examples=40)
pieces = st.sampled_from(["<s>", "</s>", "<|bos|>", "<tool>", " ", "▁", "\n", "hello", "你好", "😀", "é", "'s"])
texts = st.lists(pieces | st.text(max_size=6), max_size=8).map("".join)


@pytest.mark.parametrize("text", TEXTS)
def test_known_texts_encode_as_transformers_does(folder: Path, text: str) -> None:
    own, other = Tokenizer.load(folder), referee(folder)
    assert own.encode(text) == other.encode(text)
    assert own.encode(text, add_special_tokens=False) == other.encode(text, add_special_tokens=False)


@quick
@given(text=texts)
def test_any_text_encodes_as_transformers_does(folder: Path, text: str) -> None:
    assert Tokenizer.load(folder).encode(text) == referee(folder).encode(text)


@quick
@given(data=st.data())
def test_any_tokens_decode_as_transformers_does(folder: Path, data: st.DataObject) -> None:
    own, other = Tokenizer.load(folder), referee(folder)
    ids = data.draw(st.lists(st.integers(0, own.vocab_size - 1), max_size=12))
    for skip in (True, False):
        assert own.decode(ids, skip_special_tokens=skip) == other.decode(ids, skip_special_tokens=skip)


def test_sizes_and_special_ids_are_those_of_transformers(folder: Path) -> None:
    own, other = Tokenizer.load(folder), referee(folder)
    assert own.vocab_size == len(other)
    assert own.bos_token_id == other.bos_token_id
    assert own.eos_token_id == other.eos_token_id
    assert own.special_tokens.items() <= other.special_tokens_map.items()


def test_truncation_and_padding_in_the_file_are_ignored(tmp_path: Path) -> None:
    path = build("llama3", tmp_path) / "tokenizer.json"
    whole = Tokenizer.load(tmp_path).encode("hello world hello world")
    said = json.loads(path.read_text())
    said["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(said))
    assert Tokenizer.load(tmp_path).encode("hello world hello world") == whole


def test_a_folder_without_config_still_loads(tmp_path: Path) -> None:
    build("llama3", tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    own = Tokenizer.load(tmp_path)
    assert own.bos_token_id is None
    assert own.decode(own.encode("hello")) == "hello"


def test_missing_tokenizer_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": "1.0", "model": {"type": "Nothing"}}', "\0"])
def test_a_broken_tokenizer_is_a_model_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"added_tokens_decoder": {"x": {"content": "y"}}}',
        '{"added_tokens_decoder": {"1": 3}}',
        '{"added_tokens_decoder": {"1": {}}}',
    ],
)
def test_a_broken_config_is_a_model_error(tmp_path: Path, content: str) -> None:
    build("llama3", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(ModelError, match="token"):
        Tokenizer.load(tmp_path)


def test_a_file_that_is_no_text_is_a_model_error(tmp_path: Path) -> None:
    build("llama3", tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="cannot be read"):
        Tokenizer.load(tmp_path)
