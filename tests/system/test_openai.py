"""The OpenAI dialect over real workers: the same tokens as over gRPC, and exactly transformers' probabilities."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copytree
from typing import Any, Literal

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.system.cluster import Cluster, cluster
from tests.tiny import reference_greedy, reference_logits, tiny_model

PROMPT = list(range(5, 42))
HERMES = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

SWITCH: Any = {"properties": {"on": {"type": "boolean"}}, "required": ["on"], "additionalProperties": False}
SWITCH["type"] = "object"
NUMBER = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": NUMBER}}


class Point(BaseModel):
    """What a model is made to say."""

    x: bool
    name: Literal["first", "second"]


@asynccontextmanager
async def served(model: Path) -> AsyncIterator[tuple[Cluster, AsyncOpenAI]]:
    async with (
        cluster(model) as fleet,
        AsyncOpenAI(base_url=f"http://{fleet.router.http_address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield fleet, client


def expected_logprobs(model: Path, token_ids: list[int]) -> list[float]:
    """Of each token after the first, given those before it."""
    rows = reference_logits(model, token_ids).log_softmax(-1)
    return [float(rows[place, token_id]) for place, token_id in enumerate(token_ids[1:])]


async def test_the_same_tokens_as_over_grpc() -> None:
    model = tiny_model("llama")
    async with served(model) as (fleet, client):
        asked: dict[str, Any] = {"temperature": 0.9, "seed": 7, "max_tokens": 20}
        over_grpc = await fleet.client.complete(PROMPT, ignore_eos=True, n=2, **asked)
        over_http = await client.completions.create(
            model="llama",
            prompt=PROMPT,
            n=2,
            extra_body={"ignore_eos": True, "return_token_ids": True},
            **asked,
        )
        assert [tuple(choice.token_ids) for choice in over_http.choices] == [
            answer.token_ids for answer in over_grpc.answers
        ]
        assert [choice.text for choice in over_http.choices] == [answer.text for answer in over_grpc.answers]


@pytest.mark.parametrize("name", ["llama", "qwen3"])
@pytest.mark.parametrize("max_tokens", [0, 1])
async def test_a_prompt_is_scored_as_transformers_scores_it(name: str, max_tokens: int) -> None:
    """What an evaluation harness sends: token ids, an echo, and nothing or one token more."""
    model = tiny_model(name)
    prompts = [PROMPT, [*PROMPT[:9], 300, 200, 100], [7, 8]]
    async with served(model) as (_, client):
        answer = await client.completions.create(
            model=name, prompt=prompts, max_tokens=max_tokens, logprobs=1, echo=True, temperature=0, seed=1
        )
        for prompt, choice in zip(prompts, answer.choices, strict=True):
            assert choice.logprobs is not None
            assert choice.logprobs.token_logprobs is not None
            scores: list[Any] = [*choice.logprobs.token_logprobs[: len(prompt)]]
            assert len(choice.logprobs.token_logprobs) == len(prompt) + max_tokens
            assert scores[0] is None
            assert scores[1:] == pytest.approx(expected_logprobs(model, prompt), abs=2e-4)
            best = reference_logits(model, prompt).log_softmax(-1).max(-1).values
            tops = choice.logprobs.top_logprobs or []
            for place in range(1, len(prompt)):
                assert max(tops[place].values()) == pytest.approx(float(best[place - 1]), abs=2e-4)


async def test_logprobs_of_an_answer_are_exact() -> None:
    model = tiny_model("llama")
    async with served(model) as (_, client):
        answer = await client.chat.completions.create(
            model="llama",
            messages=[{"role": "user", "content": "hello"}],
            temperature=0,
            max_tokens=8,
            logprobs=True,
            top_logprobs=3,
            extra_body={"return_token_ids": True, "ignore_eos": True},
        )
        prompt = answer.prompt_token_ids  # type: ignore[attr-defined]
        token_ids = answer.choices[0].token_ids  # type: ignore[attr-defined]
        assert token_ids == reference_greedy(model, prompt, 8)
        rows = reference_logits(model, [*prompt, *token_ids]).log_softmax(-1)[len(prompt) - 1 : -1]
        content = answer.choices[0].logprobs.content if answer.choices[0].logprobs else None
        assert content is not None
        assert [each.logprob for each in content] == pytest.approx(
            [float(row[token_id]) for row, token_id in zip(rows, token_ids, strict=True)], abs=2e-4
        )
        for row, each in zip(rows, content, strict=True):
            best = sorted((float(value) for value in row), reverse=True)[:3]
            assert [top.logprob for top in each.top_logprobs] == pytest.approx(best, abs=2e-4)
        text = b"".join(bytes(each.bytes or ()) for each in content)
        assert text.decode(errors="replace") == answer.choices[0].message.content


async def test_schemas_hold_through_pydantic_models() -> None:
    async with served(tiny_model("llama")) as (_, client):
        for seed in range(3):
            answer = await client.chat.completions.parse(
                model="llama",
                messages=[{"role": "user", "content": "a point"}],
                response_format=Point,
                seed=seed,
                max_tokens=400,
            )
            assert isinstance(answer.choices[0].message.parsed, Point)


@pytest.mark.parametrize(
    ("constraint", "accepts"),
    [
        ({"guided_choice": ["red", "green"]}, {"red", "green"}),
        ({"structured_outputs": {"regex": "(ab|ba)"}}, {"ab", "ba"}),
        ({"structured_outputs": {"grammar": 'start: "x" | "yy"'}}, {"x", "yy"}),
        ({"guided_json": {"enum": ["a", 3]}}, {'"a"', "3"}),
    ],
)
async def test_every_kind_of_constraint(constraint: dict[str, Any], accepts: set[str]) -> None:
    async with served(tiny_model("llama")) as (_, client):
        answer = await client.completions.create(
            model="llama", prompt="colour: ", n=4, seed=3, max_tokens=20, extra_body=constraint
        )
        assert {choice.text for choice in answer.choices} <= accepts


async def test_a_forced_call_is_made(tmp_path: Path) -> None:
    model = tmp_path / "hermes"
    copytree(tiny_model("llama"), model)
    (model / "chat_template.jinja").write_text(HERMES)
    tools: Any = [{"type": "function", "function": {"name": "switch", "parameters": SWITCH}}]
    asked: dict[str, Any] = {"model": "hermes", "messages": [{"role": "user", "content": "on"}], "tools": tools}
    async with served(model) as (_, client):
        for streamed in (False, True):
            answer: Any = await client.chat.completions.create(
                **asked, tool_choice="required", parallel_tool_calls=False, max_tokens=200, seed=1, stream=streamed
            )
            if streamed:
                pieces = [each.delta.tool_calls or [] async for chunk in answer for each in chunk.choices]
                calls = [call.function for each in pieces for call in each]
                name = "".join(call.name or "" for call in calls)
                arguments = "".join(call.arguments or "" for call in calls)
            else:
                assert answer.choices[0].finish_reason == "tool_calls"
                (call,) = answer.choices[0].message.tool_calls
                name, arguments = call.function.name, call.function.arguments
            assert name == "switch"
            assert isinstance(json.loads(arguments)["on"], bool)


async def test_an_answer_is_json_or_a_call(tmp_path: Path) -> None:
    model = tmp_path / "hermes"
    copytree(tiny_model("llama"), model)
    (model / "chat_template.jinja").write_text(HERMES)
    tools: Any = [{"type": "function", "function": {"name": "switch", "parameters": SWITCH, "strict": True}}]
    asked: dict[str, Any] = {"model": "hermes", "messages": [{"role": "user", "content": "on"}], "tools": tools}
    async with served(model) as (_, client):
        for seed in range(4):
            answer = await client.chat.completions.create(
                **asked, response_format=FORM, max_tokens=100, seed=seed, parallel_tool_calls=False
            )
            message = answer.choices[0].message
            if message.tool_calls:
                assert answer.choices[0].finish_reason == "tool_calls"
            else:
                assert json.loads(message.content or "")["a"] in (1, 2)


async def test_no_bad_number_reaches_the_wire() -> None:
    async with served(tiny_model("llama")) as (_, client):
        answer = await client.completions.create(
            model="llama", prompt=PROMPT, max_tokens=4, logprobs=5, logit_bias={"9": 100, "10": -100}, seed=1
        )
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert all(math.isfinite(value) for value in logprobs.token_logprobs or [])
        assert answer.choices[0].text
