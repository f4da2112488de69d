"""litellm, with Baton as one more server that speaks OpenAI's dialect."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from tests.clients.served import Served

litellm = pytest.importorskip("litellm")
pytestmark = pytest.mark.filterwarnings("default")
HELLO: Any = [{"role": "user", "content": "Who runs first?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "lane",
        "parameters": {"type": "object", "properties": {"lane": {"enum": [1, 2]}}, "required": ["lane"]},
    },
}


class Lane(BaseModel):
    """What an answer is parsed into."""

    lane: int = Field(ge=1, le=8)


@pytest.fixture
def asked(fleet: Served) -> dict[str, Any]:
    return {
        "model": "hosted_vllm/tiny",
        "api_base": fleet.v1,
        "api_key": "none",
        "messages": HELLO,
        "temperature": 0,
        "max_tokens": 12,
        "timeout": 60,
    }


def test_whole_and_streamed_say_the_same(asked: dict[str, Any]) -> None:
    whole = litellm.completion(**asked)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 12
    streamed = litellm.completion(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == whole.choices[0].message.content


async def test_asynchronously_too(asked: dict[str, Any]) -> None:
    whole = await litellm.acompletion(**asked)
    text = ""
    async for chunk in await litellm.acompletion(**asked, stream=True):
        text += chunk.choices[0].delta.content or ""
    assert text == whole.choices[0].message.content


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_a_forced_call(asked: dict[str, Any], provider: str) -> None:
    asked |= {"model": f"{provider}/tiny", "max_tokens": 600, "tools": [TOOL], "tool_choice": "required"}
    answer = litellm.completion(**asked, parallel_tool_calls=False).choices[0]
    assert answer.finish_reason == "tool_calls"
    (call,) = answer.message.tool_calls
    assert json.loads(call.function.arguments)["lane"] in (1, 2)


def test_an_answer_by_schema(asked: dict[str, Any]) -> None:
    answer = litellm.completion(**{**asked, "max_tokens": 600}, response_format=Lane)
    assert Lane.model_validate_json(answer.choices[0].message.content)


def test_several_choices(asked: dict[str, Any]) -> None:
    assert len(litellm.completion(**{**asked, "temperature": 1.5}, n=2).choices) == 2


def test_completions(asked: dict[str, Any]) -> None:
    asked |= {"model": "text-completion-openai/tiny", "prompt": "A relay race is"}
    del asked["messages"]
    whole = litellm.text_completion(**asked).choices[0].text
    assert whole
    assert "".join(chunk.choices[0].text or "" for chunk in litellm.text_completion(**asked, stream=True)) == whole


def test_reasoning_is_found(asked: dict[str, Any]) -> None:
    message = litellm.completion(**asked, chat_template_kwargs={"enable_thinking": True}).choices[0].message
    assert message.reasoning_content


def test_errors_have_their_types(asked: dict[str, Any]) -> None:
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(**{**asked, "temperature": -1})
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**asked, "model": "hosted_vllm/other"})
