"""/v1/completions as the official client meets it: every form of prompt, whole and streamed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError

from tests.router.fake_workers import A
from tests.router.http.pair import pair
from tests.router.http.wire import post, stream

MODEL = "tiny"
FORMS: list[Any] = ["hi", ["hi", "ho"], [A, A + 1], [[A], [A + 1, A + 2]]]


@pytest.mark.parametrize("prompt", FORMS, ids=["text", "texts", "ids", "id lists"])
async def test_every_form_of_prompt(tmp_path: Path, prompt: Any) -> None:
    num_prompts = len(prompt) if isinstance(prompt[0], list) or prompt == ["hi", "ho"] else 1
    async with pair(tmp_path) as fleet, fleet.client() as client:
        answer = await client.completions.create(model=MODEL, prompt=prompt, n=2, max_tokens=3, seed=0)
        assert [(choice.index, choice.text) for choice in answer.choices] == [
            (index, "def" if index % 2 else "abc") for index in range(2 * num_prompts)
        ]
        assert {choice.finish_reason for choice in answer.choices} == {"length"}
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 6 * num_prompts
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert answer.model == MODEL
        assert answer.model_extra is not None
        assert answer.model_extra["timings"]["total_ms"] >= 0


@pytest.mark.parametrize("prompt", FORMS[:2], ids=["text", "texts"])
async def test_a_stream_says_the_same(tmp_path: Path, prompt: Any) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": prompt, "n": 2, "max_tokens": 5, "seed": 1, "stop": ["ef"]}
    async with pair(tmp_path) as fleet, fleet.client() as client:
        whole = await client.completions.create(**asked)
        texts, finishes = {choice.index: "" for choice in whole.choices}, {}
        chunks = [chunk async for chunk in await client.completions.create(**asked, stream=True)]
        for chunk in chunks:
            for choice in chunk.choices:
                assert choice.index not in finishes, "nothing follows a choice's end"
                texts[choice.index] += choice.text
                if choice.finish_reason:
                    finishes[choice.index] = choice.finish_reason
        assert texts == {choice.index: choice.text for choice in whole.choices}
        assert finishes == {choice.index: choice.finish_reason for choice in whole.choices}
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[-1].choices, "without include_usage no chunk is without a choice"
        assert "timings" in (chunks[-1].model_extra or {})


async def test_usage_ends_a_stream_when_asked_for(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        _, events = await stream(
            fleet.address, "/v1/completions", prompt="hi", max_tokens=3, stream_options={"include_usage": True}
        )
        *chunks, last, done = events
        assert done == "[DONE]"
        assert last["choices"] == []
        assert last["usage"] == {
            "prompt_tokens": 2,
            "completion_tokens": 3,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        assert set(last["timings"]) == {"queue_ms", "prefill_ms", "handoff_ms", "decode_ms", "ttft_ms", "total_ms"}
        assert all(chunk["usage"] is None for chunk in chunks)


async def test_a_completion_has_sixteen_tokens_unless_told(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = await post(fleet.address, "/v1/completions", prompt="hi", seed=0)
        assert answer.json["choices"][0]["text"] == "abcdefghijklmnop"


async def test_echo(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for prompt in ("hi", [A + 7, A + 8]):
            asked = {"prompt": prompt, "seed": 0, "max_tokens": 2, "echo": True}
            answer = await post(fleet.address, "/v1/completions", **asked)
            assert answer.json["choices"][0]["text"] == "hiab"
            _, events = await stream(fleet.address, "/v1/completions", **asked)
            assert "".join(event["choices"][0]["text"] for event in events[:-1]) == "hiab"


async def test_an_echo_alone_scores_the_prompt(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        asked: dict[str, Any] = {"prompt": [A, A + 1, A + 2], "max_tokens": 0, "echo": True, "logprobs": 1}
        answer = await post(fleet.address, "/v1/completions", **asked)
        choice = answer.json["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == ("abc", "length")
        assert choice["logprobs"] == {
            "tokens": ["a", "b", "c"],
            "token_logprobs": [None, -1.0, -1.0],
            "top_logprobs": [None, {"b": -1.0}, {"c": -1.0}],
            "text_offset": [0, 1, 2],
        }
        assert answer.json["usage"]["completion_tokens"] == 0
        _, events = await stream(fleet.address, "/v1/completions", **asked)
        assert events[0]["choices"][0]["logprobs"] == choice["logprobs"]
        assert "".join(event["choices"][0]["text"] for event in events[:-1]) == "abc"


async def test_scores_that_come_late_are_waited_for(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        fleet.prefill.service.scores_late = True
        asked: dict[str, Any] = {"prompt": "hey", "seed": 0, "max_tokens": 3, "echo": True, "logprobs": 0}
        _, events = await stream(fleet.address, "/v1/completions", **asked)
        lists = [event["choices"][0]["logprobs"] for event in events[:-1] if event["choices"][0]["logprobs"]]
        assert [token for each in lists for token in each["tokens"]] == ["h", "e", "y", "a", "b", "c"]
        assert [offset for each in lists for offset in each["text_offset"]] == [0, 1, 2, 3, 4, 5]


async def test_token_ids_on_request(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"prompt": "hi", "seed": 0, "max_tokens": 2, "return_token_ids": True}
    async with pair(tmp_path) as fleet:
        choice = (await post(fleet.address, "/v1/completions", **asked)).json["choices"][0]
        assert (choice["prompt_token_ids"], choice["token_ids"]) == ([A + 7, A + 8], [A, A + 1])
        _, events = await stream(fleet.address, "/v1/completions", **asked)
        chunks = [event["choices"][0] for event in events[:-1]]
        assert chunks[0]["prompt_token_ids"] == [A + 7, A + 8]
        assert [id for chunk in chunks for id in chunk.get("token_ids", ())] == [A, A + 1]


async def test_prompt_logprobs(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = await post(fleet.address, "/v1/completions", prompt="hey", prompt_logprobs=0, max_tokens=1)
        assert answer.json["choices"][0]["prompt_logprobs"] == [
            None,
            {str(A + 4): {"logprob": -1.0, "decoded_token": "e"}},
            {str(A + 24): {"logprob": -1.0, "decoded_token": "y"}},
        ]


async def test_a_list_is_admitted_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    async with pair(tmp_path, max_requests=2) as fleet:
        refused = await post(fleet.address, "/v1/completions", prompt=["a", "b", "c"], max_tokens=2)
        assert (refused.status, refused.error["code"]) == (429, "overloaded")
        assert not fleet.prefill.script.seen("run"), "nothing of it was begun"
        assert int(refused.headers["retry-after"]) >= 1
        served = await post(fleet.address, "/v1/completions", prompt=["a", "b"], max_tokens=2)
        assert served.status == 200


def test_the_blocking_client(tmp_path: Path) -> None:
    async def serve() -> None:
        async with pair(tmp_path) as fleet:
            await asyncio.to_thread(blocking, fleet.blocking_client())

    def blocking(client: Any) -> None:
        with client:
            answer = client.completions.create(model=MODEL, prompt="hi", max_tokens=3, seed=0)
            assert answer.choices[0].text == "abc"
            chunks = list(client.completions.create(model=MODEL, prompt="hi", max_tokens=3, seed=0, stream=True))
            assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "abc"
            with pytest.raises(BadRequestError, match="suffix: is not supported"):
                client.completions.create(model=MODEL, prompt="hi", suffix="there")

    asyncio.run(serve())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("prompts", [["hey"], ["hey", "x"]])
async def test_a_stream_begins_with_the_prompts_scores(tmp_path: Path, prompts: list[str], late: bool) -> None:
    async with pair(tmp_path) as fleet:
        fleet.prefill.service.scores_late = late
        asked: dict[str, Any] = {"prompt": prompts, "n": 2, "seed": 0, "max_tokens": 3, "prompt_logprobs": 1}
        whole = (await post(fleet.address, "/v1/completions", **asked)).json
        _, events = await stream(fleet.address, "/v1/completions", **asked)
        texts, scores = [""] * 2 * len(prompts), dict[int, Any]()
        for event in events[:-1]:
            (choice,) = event["choices"]
            if "prompt_logprobs" in choice:
                assert not texts[choice["index"]], "before the first word"
                assert scores.setdefault(choice["index"], choice["prompt_logprobs"]) is choice["prompt_logprobs"]
            texts[choice["index"]] += choice["text"]
        assert texts == [choice["text"] for choice in whole["choices"]]
        assert [scores[index] for index in range(len(texts))] == [each["prompt_logprobs"] for each in whole["choices"]]
        assert len(scores[0]) == 3


async def test_an_echo_may_tell_the_prompts_scores_both_ways(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"prompt": "hey", "echo": True, "logprobs": 0, "prompt_logprobs": 0, "max_tokens": 1}
    async with pair(tmp_path) as fleet:
        (choice,) = (await post(fleet.address, "/v1/completions", **asked)).json["choices"]
        _, events = await stream(fleet.address, "/v1/completions", **asked)
        first = events[0]["choices"][0]
        assert first["prompt_logprobs"] == choice["prompt_logprobs"]
        assert first["logprobs"]["tokens"] == ["h", "e", "y"]
