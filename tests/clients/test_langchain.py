"""LangChain's two kinds of model over the gateway."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from tests.clients.served import Served

langchain = pytest.importorskip("langchain_openai")
pytestmark = pytest.mark.filterwarnings("default")
QUESTION = "Who runs first?"


class Lane(BaseModel):
    """Which lane a runner has."""

    runner: Literal["first", "last"]
    lane: int = Field(ge=1, le=8)


@pytest.fixture
def options(fleet: Served) -> dict[str, Any]:
    return {"model": "tiny", "base_url": fleet.v1, "api_key": "none", "max_retries": 0, "timeout": 60, "temperature": 0}


def test_whole_and_streamed_say_the_same(options: dict[str, Any]) -> None:
    chat = langchain.ChatOpenAI(**options, max_completion_tokens=12)
    whole = chat.invoke(QUESTION)
    assert whole.usage_metadata["output_tokens"] == 12
    assert "".join(piece.content for piece in chat.stream(QUESTION)) == whole.content


async def test_asynchronously_too(options: dict[str, Any]) -> None:
    chat = langchain.ChatOpenAI(**options, max_completion_tokens=12)
    whole = await chat.ainvoke(QUESTION)
    assert "".join([piece.content async for piece in chat.astream(QUESTION)]) == whole.content
    both = await chat.abatch([QUESTION, "And last?"])
    assert both[0].content == whole.content


@pytest.mark.parametrize("streaming", [False, True])
def test_forced_calls_become_tool_calls(options: dict[str, Any], streaming: bool) -> None:
    chat = langchain.ChatOpenAI(**options, max_completion_tokens=600).bind_tools(
        [Lane], tool_choice="any", parallel_tool_calls=False
    )
    if streaming:
        pieces = list(chat.stream(QUESTION))
        message = pieces[0]
        for piece in pieces[1:]:
            message += piece
    else:
        message = chat.invoke(QUESTION)
    (call,) = message.tool_calls
    assert not message.invalid_tool_calls
    assert call["name"] == "Lane"
    assert Lane.model_validate(call["args"])


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(options: dict[str, Any], method: str) -> None:
    chat = langchain.ChatOpenAI(**options, max_completion_tokens=600).with_structured_output(Lane, method=method)
    assert isinstance(chat.invoke(QUESTION), Lane)


def test_logprobs(options: dict[str, Any]) -> None:
    chat = langchain.ChatOpenAI(**options, max_completion_tokens=12, logprobs=True, top_logprobs=2)
    assert len(chat.invoke(QUESTION).response_metadata["logprobs"]["content"]) == 12


def test_completions(options: dict[str, Any]) -> None:
    model = langchain.OpenAI(**options, max_tokens=8)
    whole = model.invoke("A relay race is")
    assert whole
    assert "".join(model.stream("A relay race is")) == whole


def test_errors_are_openai_s(options: dict[str, Any]) -> None:
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.NotFoundError):
        langchain.ChatOpenAI(**{**options, "model": "other"}).invoke(QUESTION)
