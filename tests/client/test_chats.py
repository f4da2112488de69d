"""Conversations with tools: as users write them, as they go over the wire, and answers that call."""

import json
from typing import Any

import pytest

from baton import Client
from baton.client import CallArguments, CallBegin, Chat, Delta, Message, Reasoning, Tool, ToolCall, ToolChoice, as_chat
from baton.client.prompts import chat_message
from baton.v1 import inference_pb2
from common.net.convert import finish_to_proto
from common.types.errors import InvalidRequest
from common.types.sampling import FinishReason
from common.types.tools import Choose
from tests.client.router import ScriptedInference, accepted, delta, done, serving

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Now.", "parameters": SCHEMA}}
CALLED = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def said(*parts: inference_pb2.Part, text: str = "", finish: FinishReason | None = None) -> Any:
    made = inference_pb2.Delta(text=text, token_ids=[1], parts=parts, finish=finish_to_proto(finish))
    return inference_pb2.GenerateResponse(delta=made)


def begin(index: int, id: str, name: str) -> inference_pb2.Part:
    return inference_pb2.Part(call_begin=inference_pb2.ToolCallBegin(index=index, id=id, name=name))


def more(index: int, text: str) -> inference_pb2.Part:
    return inference_pb2.Part(call_arguments=inference_pb2.ToolCallArguments(index=index, text=text))


def test_messages_have_a_role_and_a_content() -> None:
    assert as_chat([{"role": "user", "content": "a"}]) == Chat((Message("user", "a"),))
    wrongs: list[Any] = [{"content": "a"}, {"role": "user", "content": 1}, {"role": "user", "content": "a", "audio": 1}]
    for wrong in wrongs:
        with pytest.raises(InvalidRequest, match="messages"):
            as_chat([wrong])


def test_what_other_clients_write_means_the_same() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [CALLED], "reasoning_content": "hm", "refusal": None},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    assert as_chat(turns, [WEATHER], "required", False) == Chat(
        (Message("assistant", tool_calls=(call,), reasoning="hm"), Message("tool", "rain", tool_call_id="c1")),
        tools=(Tool("weather", SCHEMA, description="Now."),),
        tool_choice=ToolChoice(Choose.REQUIRED),
        parallel_tool_calls=False,
    )


@pytest.mark.parametrize(
    "tool", [{}, {"type": "web_search"}, {"type": "function", "function": {"name": "f", "colour": 1}}, {"name": "f"}]
)
def test_what_is_no_function_is_refused(tool: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="tools"):
        as_chat([Message("user", "a")], [tool])


def test_everything_finds_its_place_on_the_wire() -> None:
    call = ToolCall("c1", "weather", "{}")
    chat = as_chat(
        [Message("assistant", tool_calls=(call,)), Message("tool", "rain", "me", tool_call_id="c1")],
        [Tool("weather", SCHEMA, strict=True), Tool("stop")],
        ToolChoice.named("stop"),
        False,
    )
    message = chat_message(chat)
    assert [(each.id, each.name, each.arguments) for each in message.messages[0].tool_calls] == [
        ("c1", "weather", "{}")
    ]
    assert not message.messages[0].HasField("tool_call_id")
    assert (message.messages[1].tool_call_id, message.messages[1].name) == ("c1", "me")
    assert json.loads(message.tools[0].parameters) == SCHEMA
    assert (message.tools[0].strict, message.tools[1].HasField("parameters")) == (True, False)
    assert message.tool_choice.function == "stop"
    assert message.HasField("parallel_tool_calls")
    assert not message.parallel_tool_calls
    bare = chat_message(Chat((Message("user", "a"),)))
    assert [field.name for field, _ in bare.ListFields()] == ["messages", "add_generation_prompt"]


def test_a_value_of_another_kind_is_named() -> None:
    wrong: Any = Message("user", 7)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="chat"):
        chat_message(Chat((wrong,)))


async def test_parts_arrive_typed_and_in_order() -> None:
    inference = ScriptedInference()
    unknown = inference_pb2.Part()
    inference.scripts = [
        [
            accepted(),
            said(inference_pb2.Part(reasoning="hm"), unknown),
            said(begin(0, "c1", "f"), more(0, "{}"), text="I look."),
            delta("", finish=FinishReason.STOP),
            done(),
        ]
    ]
    async with serving(inference) as target, Client(target) as client:
        events = [event async for event in client.generate(as_chat([Message("user", "a")], [WEATHER]))]
    deltas = [(event.text, event.parts) for event in events if isinstance(event, Delta)]
    assert deltas == [
        ("", (Reasoning("hm"),)),
        ("I look.", (CallBegin(0, "c1", "f"), CallArguments(0, "{}"))),
        ("", ()),
    ]


async def test_an_answer_that_calls_is_a_turn_to_go_on_from() -> None:
    inference = ScriptedInference()
    inference.scripts = [
        [
            accepted(),
            said(inference_pb2.Part(reasoning="let ")),
            said(inference_pb2.Part(reasoning="me see")),
            said(begin(0, "c1", "weather"), more(0, '{"city": '), text="I look."),
            said(more(0, '"Oslo"}'), begin(1, "c2", "stop"), more(1, "{}"), more(7, "lost")),
            said(finish=FinishReason.STOP),
            done(),
        ]
    ]
    async with serving(inference) as target, Client(target) as client:
        completion = await client.chat([{"role": "user", "content": "?"}], tools=[WEATHER], tool_choice="auto")
    calls = (ToolCall("c1", "weather", '{"city": "Oslo"}'), ToolCall("c2", "stop", "{}"))
    assert (completion.text, completion.tool_calls, completion.answers[0].reasoning) == ("I look.", calls, "let me see")
    assert completion.answers[0].message == Message("assistant", "I look.", tool_calls=calls, reasoning="let me see")
    assert inference.requests[0].chat.tool_choice.mode == inference_pb2.TOOL_CHOICE_MODE_AUTO
