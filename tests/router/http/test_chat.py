"""/v1/chat/completions as the official client meets it."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest

from common.obs.log import TextLines
from tests.router.fake_workers import A
from tests.router.http.pair import Pair, pair
from tests.router.http.wire import post, stream

MODEL, PATH = "tiny", "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "hello"}]


async def rendered(fleet: Pair, messages: list[dict[str, Any]], **more: Any) -> str:
    """What the template made of a conversation, as the worker was sent it."""
    tokens = (await post(fleet.address, "/tokenize", messages=messages, **more)).json["tokens"]
    text: str = (await post(fleet.address, "/detokenize", tokens=tokens)).json["prompt"]
    return text


async def test_whole_and_streamed_say_the_same(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, fleet.client() as client:
        asked: dict[str, Any] = {"model": MODEL, "messages": HELLO, "n": 2, "seed": 0, "max_completion_tokens": 5}
        whole = await client.chat.completions.create(**asked)
        assert [(each.message.role, each.message.content, each.finish_reason) for each in whole.choices] == [
            ("assistant", "abcde", "length"),
            ("assistant", "defgh", "length"),
        ]
        texts, roles, finishes = {0: "", 1: ""}, {0: "", 1: ""}, {}
        async for chunk in await client.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                roles[choice.index] += choice.delta.role or ""
                finishes[choice.index] = choice.finish_reason
        assert texts == {0: "abcde", 1: "defgh"}
        assert roles == {0: "assistant", 1: "assistant"}, "said once, first"
        assert finishes == {0: "length", 1: "length"}


async def test_the_conversation_reaches_the_worker_as_the_template_says(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        messages: list[dict[str, Any]] = [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": None, "refusal": "no"},
            {"role": "user", "content": "c"},
        ]
        expected = "[system]be brief[user]a\nb[assistant]no[user]c[assistant]"
        assert await rendered(fleet, messages) == expected
        assert await rendered(fleet, messages, add_generation_prompt=False) == expected.removesuffix("[assistant]")
        await post(fleet.address, PATH, messages=messages, max_tokens=1)
        sent = fleet.prefill.service.requests[0].attempt.token_ids
        assert (await post(fleet.address, "/detokenize", tokens=list(sent))).json["prompt"] == expected


async def test_logprobs_have_bytes(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, fleet.client() as client:
        asked: dict[str, Any] = {"model": MODEL, "messages": HELLO, "seed": 0, "max_tokens": 2, "logprobs": True}
        answer = await client.chat.completions.create(**asked, top_logprobs=1)
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.content is not None
        assert [(each.token, each.bytes, each.logprob) for each in logprobs.content] == [
            ("a", [97], -0.5),
            ("b", [98], -0.5),
        ]
        assert [[top.token for top in each.top_logprobs] for each in logprobs.content] == [["a"], ["b"]]
        streamed: list[Any] = []
        async for chunk in await client.chat.completions.create(**asked, top_logprobs=1, stream=True):
            if chunk.choices[0].logprobs is not None:
                streamed += chunk.choices[0].logprobs.content or []
        assert streamed == logprobs.content


async def test_token_ids_on_request(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        asked: dict[str, Any] = {"messages": HELLO, "seed": 0, "max_tokens": 2, "return_token_ids": True}
        answer = (await post(fleet.address, PATH, **asked)).json
        assert answer["choices"][0]["token_ids"] == [A, A + 1]
        assert len(answer["prompt_token_ids"]) == answer["usage"]["prompt_tokens"]
        _, events = await stream(fleet.address, PATH, **asked)
        assert events[0]["prompt_token_ids"] == answer["prompt_token_ids"]
        assert [id for event in events[:-1] for id in event["choices"][0].get("token_ids", ())] == [A, A + 1]


async def test_the_service_tier_is_told_to_who_asks(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = (await post(fleet.address, PATH, messages=HELLO, max_tokens=1, service_tier="auto")).json
        assert answer["service_tier"] == "default"


@pytest.mark.parametrize("seed", [-1, (1 << 64) - 1])
async def test_seeds_of_any_sign(tmp_path: Path, seed: int) -> None:
    async with pair(tmp_path) as fleet:
        await post(fleet.address, PATH, messages=HELLO, max_tokens=1, seed=seed)
        assert fleet.prefill.service.requests[0].attempt.sampling.seed == (1 << 64) - 1


@pytest.mark.parametrize("field", ["user", "safety_identifier"])
async def test_who_asks_stands_in_the_log(tmp_path: Path, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log, text = logging.getLogger("baton.router"), io.StringIO()
    lines = logging.StreamHandler(text)
    lines.setFormatter(TextLines())
    monkeypatch.setattr(log, "handlers", [lines])
    monkeypatch.setattr(log, "level", logging.INFO)
    async with pair(tmp_path) as fleet:
        await post(fleet.address, PATH, messages=HELLO, max_tokens=1, **{field: "a user\nof ours"})
    (line,) = [line for line in text.getvalue().splitlines() if " ended " in line]
    assert 'user="a user\\nof ours"' in line


@pytest.mark.parametrize("late", [False, True])
async def test_a_stream_begins_with_the_prompts_scores(tmp_path: Path, late: bool) -> None:
    async with pair(tmp_path) as fleet:
        fleet.prefill.service.scores_late = late
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": "hey"}], "n": 2, "seed": 0, "max_tokens": 2}
        whole = (await post(fleet.address, PATH, **asked, prompt_logprobs=1)).json
        _, events = await stream(fleet.address, PATH, **asked, prompt_logprobs=1)
        assert events[0]["prompt_logprobs"] == whole["prompt_logprobs"]
        assert len(whole["prompt_logprobs"]) == whole["usage"]["prompt_tokens"]
        assert not any("prompt_logprobs" in event for event in events[1:-1])
        words = [""] * 2
        for event in events[:-1]:
            for choice in event["choices"]:
                words[choice["index"]] += choice["delta"].get("content") or ""
        assert words == [choice["message"]["content"] for choice in whole["choices"]]
