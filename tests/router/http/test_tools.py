"""Tool calls and reasoning in chats: offered by the template, read from the answer, the same at every cut."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.chat import ChatTemplate
from common.types.constraint import ConstraintKind
from common.types.errors import InvalidRequest
from common.types.sampling import FinishReason
from router.http.asks import chat_ask, offer_of
from router.http.chat_shape import whole
from router.http.chat_stream import ChatStream
from router.http.gathered import Gathered
from router.http.schema.chat import ChatBody
from router.http.schema.strict import read
from router.reading import Reading, after_prompt, reading_of, with_calls
from router.served_model import ServedModel
from tests.router.folder import model_folder
from tests.router.http.messages import joined, parsed, written

HERMES = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{% for message in messages %}[{{ message.role }}]{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% if enable_thinking %}<think>{% endif %}{% endif %}"
    "{# </think> #}"
)
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")]
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": [1, "<x>"]}}\n</tool_call>'
TEXT = f"<think>\nlet me see</think>\n\nI look.\n{CALL}\n{CALL.replace('f', 'g', 1)}"


@cache
def model() -> ServedModel:
    """One whose template knows tools, reasoning, and a switch for it."""
    served = ServedModel.load(model_folder(Path(mkdtemp()) / "tiny"), "tiny")
    return replace(served, chat=ChatTemplate(HERMES, {}))


def body(**fields: Any) -> ChatBody:
    return read(ChatBody, {"messages": [{"role": "user", "content": "hi"}], "tools": TOOLS, **fields})


def reading(asked: ChatBody) -> Reading:
    ask = chat_ask(asked, model().chat)
    found = reading_of(offer_of(asked), model(), ask.constraint)
    return after_prompt(found, model(), model().token_ids(ask.prompt))


def streamed(pieces: list[str], asked: ChatBody) -> list[dict[str, Any]]:
    stream = ChatStream(asked, reading(asked), (), model())
    return parsed(b"".join(stream.take(0, (message,)) for message in written(pieces)))


def at_once(pieces: list[str], asked: ChatBody, finish: FinishReason = FinishReason.STOP) -> dict[str, Any]:
    gathered = Gathered.of(1)
    gathered.take(written(pieces, finish))
    return whole(asked, reading(asked), (), model(), [gathered])


def test_an_answer_is_read_apart() -> None:
    answer = at_once([TEXT], body())
    (choice,) = answer["choices"]
    message = choice["message"]
    assert message["content"] == "I look."
    assert message["reasoning"] == message["reasoning_content"] == "let me see"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["f", "g"]
    assert {call["type"] for call in message["tool_calls"]} == {"function"}
    assert all(call["id"].startswith("call_") for call in message["tool_calls"])
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": [1, "<x>"]}
    assert choice["finish_reason"] == "tool_calls"


def test_an_answer_that_was_cut_off_waits_for_nothing() -> None:
    assert at_once([TEXT], body(), FinishReason.LENGTH)["choices"][0]["finish_reason"] == "length"


def test_content_is_null_where_there_are_only_calls() -> None:
    assert at_once([CALL], body())["choices"][0]["message"]["content"] is None


def test_what_calls_nothing_that_is_offered_is_content() -> None:
    unknown = CALL.replace('"f"', '"h"')
    choice = at_once([unknown], body())["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (unknown, "stop")
    assert at_once([CALL], body(tool_choice="none"))["choices"][0]["message"]["content"] == CALL


@settings(max_examples=60)
@given(st.sets(st.integers(1, len(TEXT) - 1)))
def test_a_stream_adds_up_to_the_same_at_every_cut(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[start:end] for start, end in pairwise(edges)]
    message = joined(streamed(pieces, body()))
    assert (message["content"], message["reasoning"], message["finish"]) == ("I look.", "let me see", "tool_calls")
    assert [call["name"] for call in message["tool_calls"].values()] == ["f", "g"]
    assert [json.loads(call["arguments"]) for call in message["tool_calls"].values()] == [{"a": [1, "<x>"]}] * 2


def test_tokens_of_reasoning_are_counted() -> None:
    pieces = ["<think>", "a", "b", "</think>", "answer", "!"]
    assert at_once(pieces, body())["usage"]["completion_tokens_details"] == {"reasoning_tokens": 5}
    chunks = streamed(pieces, body(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 5}
    assert at_once(["plain", "!"], body())["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_a_prompt_may_have_opened_reasoning() -> None:
    asked = body(tools=None, chat_template_kwargs={"enable_thinking": True})
    message = at_once(["hm", "</think>", "yes"], asked)["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == ("yes", "hm")


def test_a_constraint_leaves_no_room_for_reasoning() -> None:
    asked = body(tools=None, response_format={"type": "json_object"}, chat_template_kwargs={"enable_thinking": True})
    assert at_once(['{"a": 1}'], asked)["choices"][0]["message"]["content"] == '{"a": 1}'
    with pytest.raises(InvalidRequest, match="set tool_choice to none"):
        reading(body(guided_regex="a"))


def test_json_and_tools_go_together() -> None:
    for form in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}):
        asked = body(response_format=form)
        ask = chat_ask(asked, model().chat)
        constraint = with_calls(ask.constraint, offer_of(asked), reading(asked), model())
        assert constraint is not None
        assert constraint.kind is ConstraintKind.GRAMMAR
        assert "json | calls" in constraint.source
        forced = body(response_format=form, tool_choice="required")
        constraint = with_calls(ask.constraint, offer_of(forced), reading(forced), model())
        assert constraint is not None
        assert "json | calls" not in constraint.source
        assert at_once(['{"a": 1}'], asked)["choices"][0]["message"]["content"] == '{"a": 1}'
        assert at_once([CALL], asked)["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "g"}}])
def test_a_forced_call_is_a_grammar(choice: Any) -> None:
    asked = body(tool_choice=choice)
    constraint = with_calls(None, offer_of(asked), reading(asked), model())
    assert constraint is not None
    assert constraint.kind is ConstraintKind.GRAMMAR
    assert with_calls(None, offer_of(body()), reading(body()), model()) is None, "auto leaves the model free"


def test_a_tool_that_is_not_there_cannot_be_forced() -> None:
    asked = body(tool_choice={"type": "function", "function": {"name": "nope"}})
    with pytest.raises(InvalidRequest, match="tool_choice"):
        with_calls(None, offer_of(asked), reading(asked), model())
    with pytest.raises(InvalidRequest, match="twice"):
        reading(body(tools=[TOOLS[0], TOOLS[0]]))


def test_a_choice_needs_something_to_choose_from() -> None:
    neither: tuple[list[dict[str, Any]] | None, ...] = (None, [])
    for tools in neither:
        for choice in ("required", {"type": "function", "function": {"name": "f"}}):
            with pytest.raises(InvalidRequest, match="tool_choice: needs tools"):
                reading(body(tools=tools, tool_choice=choice))
        assert reading(body(tools=tools, tool_choice="none")).tools is None
    assert reading(body(tools=[], tool_choice="auto")).tools is None


def test_a_conversation_with_calls_and_results_is_rendered() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    ask = chat_ask(body(messages=messages, tools=TOOLS[:1]), model().chat)
    text = model().tokenizer.decode(model().token_ids(ask.prompt))
    called = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    assert text == json.dumps(TOOLS[0]) + f"[user]hi[assistant]{called}[tool]2[assistant]"
    for wrong in ("[1]", "{", '{"a": NaN}'):
        messages[1]["tool_calls"][0]["function"]["arguments"] = wrong  # type: ignore[index]
        with pytest.raises(InvalidRequest, match=r"messages\[1\].tool_calls\[0\].function.arguments"):
            chat_ask(body(messages=messages), model().chat)
