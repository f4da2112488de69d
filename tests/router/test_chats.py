"""Chats with tools and reasoning over gRPC: the same readings, constraints and refusals as over HTTP."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.client import Client, Completion, Message, Tool, as_chat
from baton.client.gather import Gathered
from baton.client.read import event
from baton.v1 import inference_pb2, types_pb2
from common.text.chat import ChatTemplate
from common.types.errors import InvalidRequest
from common.types.sampling import FinishReason
from router.reading import Reading
from router.service_answers import Apart
from router.service_asks import ask_of
from tests.router import fake_workers
from tests.router.http.messages import written
from tests.router.http.test_tools import CALL, HERMES, TEXT, body, model, reading
from tests.router.rig import Rig, failure, rig, status_of

F, G = (Tool(name, {"type": "object"}) for name in ("f", "g"))
ASKED: dict[str, Any] = {"role": "user", "content": "hi"}


def told(pieces: list[str], how: Reading, finish: FinishReason = FinishReason.STOP) -> Completion:
    """What the client makes of an answer in these pieces."""
    apart, gathered = Apart(how), Gathered()
    for message in written(pieces, finish):
        for response in apart.responses(message):
            found = event(inference_pb2.GenerateResponse.FromString(response.SerializeToString()))
            assert found is not None
            gathered.add(found)
    return gathered.completion()


@settings(max_examples=60)
@given(st.sets(st.integers(1, len(TEXT) - 1)))
def test_an_answer_is_read_apart_at_every_cut(cuts: set[int]) -> None:
    pieces = [TEXT[start:end] for start, end in pairwise([0, *sorted(cuts), len(TEXT)])]
    completion = told(pieces, reading(body()))
    (answer,) = completion.answers
    assert (answer.text, answer.reasoning, answer.finish) == ("I look.", "let me see", FinishReason.STOP)
    assert [call.name for call in answer.tool_calls] == ["f", "g"]
    assert [json.loads(call.arguments) for call in answer.tool_calls] == [{"a": [1, "<x>"]}] * 2
    assert answer.token_ids == tuple(range(len(pieces))), "each token is told once"


def test_text_after_a_call_comes_in_a_message_of_its_own() -> None:
    broken = CALL.replace("}}", "]")
    messages = [each for message in written([CALL + broken]) for each in Apart(reading(body())).responses(message)]
    deltas = [message.delta for message in messages if message.WhichOneof("event") == "delta"]
    assert all(delta.parts and not delta.text for delta in deltas[:-1])
    assert deltas[-1].text
    assert not deltas[-1].parts
    assert [list(delta.token_ids) for delta in deltas] == [[0], *[[]] * (len(deltas) - 1)]
    assert [delta.finish for delta in deltas[:-1]] == [types_pb2.FINISH_REASON_UNSPECIFIED] * (len(deltas) - 1)
    assert deltas[-1].finish == types_pb2.FINISH_REASON_STOP


def test_tokens_of_reasoning_are_counted() -> None:
    pieces = ["<think>", "a", "b", "</think>", "answer", "!"]
    assert told(pieces, reading(body())).done.usage.num_reasoning_tokens == 5


def test_what_calls_nothing_that_is_offered_is_text() -> None:
    unknown = CALL.replace('"f"', '"h"')
    assert told([unknown], reading(body())).text == unknown


def says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The fake workers say this instead of the alphabet."""
    ids = model().tokenizer.encode(text)
    monkeypatch.setattr(fake_workers, "token_id", lambda sampling, choice, index: ids[min(index, len(ids) - 1)])


async def fleet_of(made: Rig) -> None:
    """Its model's template teaches calls and reasoning."""
    made.router.serving.model = replace(made.router.serving.model, chat=ChatTemplate(HERMES, {}))
    await made.prefill()
    await made.decode()


async def test_a_call_and_its_answer_over_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, TEXT)
    async with rig(tmp_path) as made:
        await fleet_of(made)
        async with Client(made.router.grpc_address) as client:
            first = await client.chat([ASKED], tools=[F, G], max_tokens=len(TEXT), seed=0)
            assert [call.name for call in first.tool_calls] == ["f", "g"]
            assert (first.text, first.answers[0].reasoning) == ("I look.", "let me see")
            turns = [Message("user", "hi"), first.answers[0].message]
            turns += [Message("tool", "2", tool_call_id=call.id) for call in first.tool_calls]
            again = await client.chat(turns, tools=[F, G], max_tokens=1)
            assert again.accepted.num_prompt_tokens > first.accepted.num_prompt_tokens
            rendered = await client.tokenize(as_chat(turns, [F]))
            text = await client.detokenize(rendered.token_ids)
            assert text.startswith(
                json.dumps({"type": "function", "function": {"name": "f", "parameters": F.parameters}})
            )
            assert '<tool_call>{"name": "f", "arguments": {"a": [1, "<x>"]}}</tool_call>' in text
            assert "[tool]2" in text


@pytest.mark.parametrize(("choice", "forced"), [("required", True), ("auto", False), ("none", False)])
async def test_a_forced_call_is_a_grammar_at_the_worker(tmp_path: Path, choice: Any, forced: bool) -> None:
    async with rig(tmp_path) as made:
        await fleet_of(made)
        async with Client(made.router.grpc_address) as client:
            await client.chat([ASKED], tools=[F], tool_choice=choice, max_tokens=1)
        lender: Any = made.workers["p0"].service
        sampling = lender.requests[0].attempt.sampling
        assert sampling.HasField("constraint") is forced
        if forced:
            assert sampling.constraint.kind == types_pb2.CONSTRAINT_KIND_GRAMMAR


async def refused(made: Rig, **fields: Any) -> list[str]:
    """The fields that the refusal names."""
    found = error_details_pb2.BadRequest()
    details = status_of(await failure(made.generate(**fields))).details
    return [each.field for detail in details if detail.Unpack(found) for each in found.field_violations]


def chat(**fields: Any) -> dict[str, Any]:
    return {"chat": {"messages": [ASKED], "tools": [{"name": "f"}], **fields}, "text": None}


def asks(*messages: dict[str, Any]) -> dict[str, Any]:
    return chat(messages=list(messages))


CALLED = {"id": "c", "name": "f", "arguments": "{}"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a choice without tools": (chat(tools=[], tool_choice={"mode": "TOOL_CHOICE_MODE_REQUIRED"}), "chat.tool_choice"),
    "a function that is not there": (chat(tool_choice={"function": "g"}), "chat.tool_choice"),
    "an unknown mode": (chat(tool_choice={"mode": 9}), "chat.tool_choice.mode"),
    "a function twice": (chat(tools=[{"name": "f"}, {"name": "f"}]), "chat.tools"),
    "too many": (chat(tools=[{"name": f"f{place}"} for place in range(129)]), "chat.tools"),
    "no name": (chat(tools=[{}]), "chat.tools[0].name"),
    "a name of blanks": (chat(tools=[{"name": "a b"}]), "chat.tools[0].name"),
    "parameters that are no JSON": (chat(tools=[{"name": "f", "parameters": "{"}]), "chat.tools[0].parameters"),
    "parameters that are no object": (chat(tools=[{"name": "f", "parameters": "[]"}]), "chat.tools[0].parameters"),
    "a schema that cannot be enforced": (
        chat(
            tools=[{"name": "f", "parameters": '{"properties": {"a": {"$ref": "http://x"}}}', "strict": True}],
        ),
        "chat.tools",
    ),
    "a call by the user": (asks({**ASKED, "tool_calls": [CALLED]}), "chat.messages[0].tool_calls"),
    "an answer to no call": (asks({"role": "tool", "content": "2"}), "chat.messages[0].tool_call_id"),
    "a user that answers": (asks({**ASKED, "tool_call_id": "c"}), "chat.messages[0].tool_call_id"),
    "an id without end": (
        asks({"role": "tool", "content": "2", "tool_call_id": "c" * 129}),
        "chat.messages[0].tool_call_id",
    ),
    "arguments that are no object": (
        asks({"role": "assistant", "tool_calls": [{**CALLED, "arguments": "[1]"}]}),
        "chat.messages[0].tool_calls[0].arguments",
    ),
    "arguments with NaN": (
        asks({"role": "assistant", "tool_calls": [{**CALLED, "arguments": '{"a": NaN}'}]}),
        "chat.messages[0].tool_calls[0].arguments",
    ),
    "a variable of no kind": (chat(template_variables={"a": [1]}), "chat.template_variables.a"),
    "a variable that is null": (chat(template_variables={"a": None}), "chat.template_variables.a"),
    "variables without end": (chat(template_variables={f"k{at}": 1 for at in range(129)}), "chat.template_variables"),
    "a call without an id": (
        asks({"role": "assistant", "tool_calls": [{"name": "f"}]}),
        "chat.messages[0].tool_calls[0].id",
    ),
}


async def test_every_refusal_names_its_field(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await fleet_of(made)
        for what, (fields, field) in WRONG.items():
            named = await refused(made, **fields)
            assert named, what
            assert named[0].startswith(field), what
        assert made.router.serving.tally.refused["invalid"] >= 1
        assert not made.workers["p0"].service.requests


async def test_variables_reach_the_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt's end opens reasoning when this template is told to."""
    says(monkeypatch, "hm</think>yes")
    async with rig(tmp_path) as made:
        await fleet_of(made)
        async with Client(made.router.grpc_address) as client:
            told = await client.chat([ASKED], template_variables={"enable_thinking": True}, max_tokens=13)
            assert (told.text, told.answers[0].reasoning) == ("yes", "hm")
            plain = await client.chat([ASKED], template_variables={"enable_thinking": False}, max_tokens=13)
            assert (plain.text, plain.answers[0].reasoning) == ("hm</think>yes", "")
            tokens = await client.tokenize(as_chat([ASKED], template_variables={"enable_thinking": True}))
            assert (await client.detokenize(tokens.token_ids)).endswith("<think>")
            for wrong in ({"nope": True}, {"messages": "x"}):
                with pytest.raises(InvalidRequest) as caught:
                    await client.chat([ASKED], template_variables=wrong)
                assert caught.value.violations[0].field == f"chat.template_variables.{next(iter(wrong))}"


async def test_tools_need_a_template_that_teaches_them(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.prefill()
        await made.decode()
        assert await refused(made, **chat()) == ["chat.tools"]


def test_an_empty_turn_of_calls_has_no_content() -> None:
    request = inference_pb2.GenerateRequest()
    request.chat.messages.add(role="assistant").tool_calls.add(id="c", name="f")
    request.chat.messages.add(role="user")
    prompt: Any = ask_of(request).prompt
    assert [turn.content for turn in prompt.messages] == [None, ""]
    request.chat.messages.add(role="tool")
    with pytest.raises(InvalidRequest):
        ask_of(request)
