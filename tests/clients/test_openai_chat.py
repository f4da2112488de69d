"""Chats through the official client."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from tests.clients.served import Served

openai = pytest.importorskip("openai")
HELLO: Any = [{"role": "user", "content": "Who runs first?"}]
GREEDY: dict[str, Any] = {"model": "tiny", "messages": HELLO, "temperature": 0, "max_completion_tokens": 12}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "lane",
        "description": "Which lane a runner has",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"runner": {"enum": ["first", "last"]}, "lane": {"type": "integer", "maximum": 8}},
            "required": ["runner", "lane"],
            "additionalProperties": False,
        },
    },
}


class Runner(BaseModel):
    """What an answer is parsed into."""

    name: Literal["Ann", "Bo"]
    lane: int = Field(ge=1, le=8)
    legal: bool


@pytest.fixture
def client(fleet: Served) -> Iterator[Any]:
    with openai.OpenAI(base_url=fleet.v1, api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_whole_and_streamed_say_the_same(client: Any) -> None:
    whole = client.chat.completions.create(**GREEDY)
    choice = whole.choices[0]
    assert whole.object == "chat.completion"
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "length"
    assert whole.usage.completion_tokens == 12
    streamed = client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True})
    chunks = list(streamed)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == choice.message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


async def test_asynchronously_too(fleet: Served) -> None:
    async with openai.AsyncOpenAI(base_url=fleet.v1, api_key="none", max_retries=0, timeout=60) as client:
        whole = await client.chat.completions.create(**GREEDY)
        text = ""
        async for chunk in await client.chat.completions.create(**GREEDY, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == whole.choices[0].message.content


def test_several_choices_differ_and_seeds_repeat(client: Any) -> None:
    asked = {**GREEDY, "temperature": 1.5, "n": 3, "seed": 7}
    texts = [choice.message.content for choice in client.chat.completions.create(**asked).choices]
    assert len(set(texts)) == 3
    assert texts == [choice.message.content for choice in client.chat.completions.create(**asked).choices]
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(client: Any) -> None:
    text = client.chat.completions.create(**GREEDY).choices[0].message.content
    stop = text[4:7]
    for stream in (False, True):
        answer = client.chat.completions.create(**GREEDY, stop=[stop], stream=stream)
        if stream:
            chunks = list(answer)
            said = "".join(c.choices[0].delta.content or "" for c in chunks)
            finish = chunks[-1].choices[0].finish_reason
        else:
            said, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
        assert (said, finish) == (text[: text.index(stop)], "stop")


def test_logprobs(client: Any) -> None:
    choice = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    assert len(tokens) == 12
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
    assert all(token.top_logprobs[0].logprob == pytest.approx(token.logprob) for token in tokens), "greedy"
    assert b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace") == choice.message.content


def test_an_answer_is_parsed_into_a_model(client: Any) -> None:
    for seed in range(3):
        answer = client.chat.completions.parse(
            model="tiny", messages=HELLO, response_format=Runner, seed=seed, max_completion_tokens=600
        )
        assert isinstance(answer.choices[0].message.parsed, Runner)


def test_a_streamed_answer_is_parsed_into_a_model(client: Any) -> None:
    asked = {"model": "tiny", "messages": HELLO, "seed": 1, "max_completion_tokens": 600}
    with client.chat.completions.stream(**asked, response_format=Runner) as stream:
        kinds = {event.type for event in stream}
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Runner)
    assert "content.delta" in kinds


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "lane"}}])
def test_a_forced_call_follows_its_schema(client: Any, choice: Any) -> None:
    asked = {"model": "tiny", "messages": HELLO, "tools": [TOOL], "tool_choice": choice, "seed": 3}
    answer = client.chat.completions.create(**asked, parallel_tool_calls=False, max_completion_tokens=600).choices[0]
    (call,) = answer.message.tool_calls
    assert (answer.finish_reason, answer.message.content) == ("tool_calls", None)
    assert (call.type, call.function.name) == ("function", "lane")
    said = json.loads(call.function.arguments)
    assert said["runner"] in ("first", "last")
    assert said["lane"] <= 8


def test_a_streamed_call_is_the_same_and_comes_in_pieces(client: Any) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "tools": [TOOL], "tool_choice": "required", "seed": 3}
    asked |= {"parallel_tool_calls": False, "max_completion_tokens": 600}
    whole = client.chat.completions.create(**asked).choices[0].message.tool_calls[0].function
    with client.chat.completions.stream(**asked) as stream:
        pieces = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == (whole.name, whole.arguments)
    assert "".join(piece.arguments_delta for piece in pieces) == whole.arguments
    assert len(pieces) > 1


def test_a_conversation_with_calls_goes_on(client: Any) -> None:
    asked = {
        "model": "tiny",
        "messages": HELLO,
        "tools": [TOOL],
        "tool_choice": "required",
        "max_completion_tokens": 600,
    }
    message = client.chat.completions.create(**asked, parallel_tool_calls=False).choices[0].message
    answer = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "4"}
    asked = {**GREEDY, "messages": [*HELLO, message.to_dict(), answer], "tools": [TOOL]}
    again = client.chat.completions.create(**asked)
    assert again.choices[0].finish_reason in ("length", "stop")


def test_reasoning_has_both_names(client: Any) -> None:
    asked = {**GREEDY, "extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}
    message = client.chat.completions.create(**asked).choices[0].message
    assert not message.content
    assert message.reasoning
    assert message.reasoning == message.reasoning_content
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    for name in ("reasoning", "reasoning_content"):
        assert "".join(getattr(delta, name, None) or "" for delta in deltas) == message.reasoning
