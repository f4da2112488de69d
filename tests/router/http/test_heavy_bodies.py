"""Bodies that are small for what they ask for: refused before anything is made for each of their entries.

Were they not, most of these would hold up the event loop for longer than the tests' patience, or take all memory.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from common.text.tokenizer import CHARS_PER_TOKEN, Tokenizer
from common.types.errors import InvalidRequest
from router.served_model import MOST_TOKENS
from router.strict_json import MAX_MEMBERS
from tests.router.folder import model_folder
from tests.router.http.pair import pair
from tests.router.http.wire import ask, post

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
MANY = 20_000


def parts(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*entries] * MANY}]}


HEAVY: dict[str, tuple[str, dict[str, Any], str]] = {
    "choices": (TEXT, {"prompt": "hi", "n": 10**12}, "n: must be between 1 and 8"),
    "streamed choices": (TEXT, {"prompt": "hi", "n": 10**12, "stream": True}, "n: must be between 1 and 8"),
    "choices of a chat": (CHAT, {**HELLO, "n": 10**12}, "n: must be between 1 and 8"),
    "streamed choices of a chat": (CHAT, {**HELLO, "n": 10**12, "stream": True}, "n: must be between 1 and 8"),
    "prompts": (TEXT, {"prompt": ["a"] * MANY}, "prompt: must have at most 4096 entries"),
    "some prompts": (TEXT, {"prompt": ["a"] * 4096}, "prompt: has 4096 prompts, at most 64 are allowed"),
    "lists of ids": (TEXT, {"prompt": [[1]] * MANY}, "prompt: must have at most 4096 entries"),
    "stop strings": (TEXT, {"prompt": "hi", "stop": ["x"] * MANY}, "stop: must have at most 1024 entries"),
    "what are no stop strings": (TEXT, {"prompt": "hi", "stop": [1] * 1000}, "stop[0]: must be a text"),
    "texts to choose from": (TEXT, {"prompt": "hi", "guided_choice": ["x"] * MANY}, "guided_choice: must have at most"),
    "repetitions": (TEXT, {"prompt": "hi", "guided_regex": "(a*)*" * 20_000}, "guided_regex: has more than 4096"),
    "parts": (CHAT, parts({"type": "text", "text": "a"}), "messages[0].content: must have at most 1024 entries"),
    "keys": (TEXT, {"prompt": "hi"} | {f"k{place}": 1 for place in range(MANY)}, "body: has an object with more than"),
    "biases": (TEXT, {"prompt": "hi", "logit_bias": dict.fromkeys(range(MANY), 1)}, "body: has an object with more"),
    "a name": (TEXT, {"prompt": "hi", "k" * 1_000_000: 1}, "kkkkkkkk"),
    "a text": (TEXT, {"prompt": "a" * 2_100_000}, "prompt: has 2100000 characters, at most 2097152 are read"),
    "a text to tokenize": ("/tokenize", {"prompt": "a" * 2_100_000}, "prompt: has 2100000 characters"),
    "ids": ("/detokenize", {"tokens": [1] * 300_000}, "tokens: must have at most 262144 entries"),
    "variables": (
        CHAT,
        {**HELLO, "chat_template_kwargs": {f"k{place}": 1 for place in range(1000)}},
        "chat_template_kwargs: must have at most 128 entries",
    ),
}


async def test_what_asks_for_too_much_is_refused_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for what, (path, fields, message) in HEAVY.items():
            answer = await post(fleet.address, path, **fields)
            assert answer.status == 400, what
            assert answer.error["message"].startswith(message), what
        assert not fleet.prefill.service.requests
        assert (await post(fleet.address, TEXT, prompt="hi", max_tokens=2, seed=0)).json["choices"][0]["text"] == "ab"


async def test_an_object_may_have_as_many_keys_as_anybody_needs(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = await post(fleet.address, TEXT, prompt="hi", logit_bias={str(place): 1 for place in range(1025)})
        assert answer.error["message"] == "logit_bias: has 1025 entries, at most 1024 are allowed"
        answer = await post(fleet.address, TEXT, **{f"k{place}": 1 for place in range(MAX_MEMBERS)})
        assert answer.error["code"] == "unknown_parameter"


@pytest.mark.parametrize("coding", ["gzip", "deflate, gzip", "br", "x"])
async def test_compressed_bodies_are_named_as_such(tmp_path: Path, coding: str) -> None:
    body = gzip.compress(json.dumps({"prompt": "hi"}).encode())
    async with pair(tmp_path) as fleet:
        answer = await ask(fleet.address, "POST", TEXT, body, content_encoding=coding)
        assert (answer.status, answer.error["message"]) == (415, "the body must not be compressed")
        plain = await ask(fleet.address, "POST", TEXT, b'{"prompt": "hi"}', content_encoding="identity")
        assert plain.status == 200


def test_tokens_beyond_the_bound_are_counted_and_no_more(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(model_folder(tmp_path / "tiny"))
    assert len(tokenizer.encode("ab" * 50, most=100)) == 100
    with pytest.raises(InvalidRequest, match="has 101 tokens, at most 100 are read"):
        tokenizer.encode("a" * 101, most=100)
    with pytest.raises(InvalidRequest, match="has 801 characters, at most 800 are read"):
        tokenizer.encode("a" * 801, most=100)
    long = "hello, wörld 😀 " * 2000
    assert tokenizer.encode(long) == tokenizer.backend.encode(long).ids, "long texts take another way"
    assert MOST_TOKENS * CHARS_PER_TOKEN > 1 << 20
