"""Single tokens as bytes and as names: together the bytes are the text, and no two names are the same."""

from pathlib import Path
from typing import Any

import pytest

from common.text.token_bytes import TokenBytes
from common.text.tokenizer import Tokenizer
from tests.text.folders import build

TEXTS = ["hello world", "Größe 🙂", " two  spaces\n", "你好", "def f(x): return {1: 'a'}"]


@pytest.fixture(scope="module", params=["llama3", "qwen2", "llama2", "mistral"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Tokenizer.load(build(request.param, Path(tmp_path_factory.mktemp("model"))))


@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_of_a_texts_tokens_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    names = TokenBytes(tokenizer)
    token_ids = tokenizer.encode(text, add_special_tokens=False)
    whole = b"".join(names.bytes_of(token_id) for token_id in token_ids).decode()
    assert whole in (text, " " + text), "some tokenizers put a space in front"


def test_every_token_has_a_name(tokenizer: Tokenizer) -> None:
    names = TokenBytes(tokenizer)
    for token_id in range(tokenizer.vocab_size):
        data, name = names.bytes_of(token_id), names.text(token_id)
        if name.startswith("bytes:"):
            assert bytes.fromhex(name.removeprefix("bytes:").replace("\\x", "")) == data
        else:
            assert name.encode() == data


def test_special_tokens_stand_for_what_is_written(tokenizer: Tokenizer) -> None:
    names = TokenBytes(tokenizer)
    for token_id in tokenizer.special_ids:
        assert names.is_special(token_id)
        assert names.text(token_id) == tokenizer.backend.id_to_token(token_id)


def test_an_id_beyond_the_vocabulary_stands_for_nothing(tokenizer: Tokenizer) -> None:
    assert TokenBytes(tokenizer).bytes_of(1 << 20) == b""
