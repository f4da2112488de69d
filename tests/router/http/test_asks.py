"""What a body asks of the serving: defaults of the dialect, names of its own, and constraints in every spelling."""

import json
from typing import Any

import pytest

from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import InvalidRequest
from router.ask import Ask, ChatAsk, ChatMessage
from router.http.asks import chat_ask, completion_asks
from router.http.constraints import constraint_of
from router.http.schema.chat import ChatBody
from router.http.schema.completion import CompletionBody
from router.http.schema.strict import read
from tests.router.http.test_tools import model

HELLO = [{"role": "user", "content": "hi"}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}


def completion(**fields: Any) -> Ask:
    (ask,) = completion_asks(read(CompletionBody, {"prompt": "hi", **fields}), 64)
    return ask


def chat(**fields: Any) -> Ask:
    return chat_ask(read(ChatBody, {"messages": HELLO, **fields}), model().chat)


def test_what_is_left_out_is_left_to_the_serving() -> None:
    assert completion() == Ask(prompt="hi", max_tokens=16)
    assert chat() == Ask(prompt=ChatAsk((ChatMessage("user", "hi"),)))


def test_every_sampling_field_arrives() -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "seed": 5,
        "min_tokens": 2,
        "ignore_eos": True,
    }
    for ask in (completion(**fields, n=3, stop="x"), chat(**fields, n=3, stop="x")):
        assert {name: getattr(ask, name) for name in fields} == fields
        assert (ask.num_choices, ask.stop) == (3, ("x",))


def test_names_that_differ() -> None:
    assert completion(top_k=-1).top_k == 0
    assert completion(stop=["a", "b"]).stop == ("a", "b")
    assert completion(logit_bias={"5": -3}).logit_bias == {5: -3.0}
    assert chat(max_completion_tokens=9).max_tokens == chat(max_tokens=9).max_tokens == 9
    assert (chat(logprobs=True).logprobs, chat(logprobs=True, top_logprobs=4).logprobs, chat().logprobs) == (0, 4, None)


def test_an_echo_asks_for_the_prompts_scores() -> None:
    assert completion(echo=True).prompt_logprobs is None
    assert completion(echo=True, logprobs=2).prompt_logprobs == 2
    assert completion(echo=True, logprobs=0, max_tokens=0).max_tokens == 1, "the least a worker makes"
    assert completion(logprobs=2).prompt_logprobs is None


def test_one_ask_for_each_prompt() -> None:
    for prompt, expected in (
        (["a", "b"], ["a", "b"]),
        ([1, 2], [(1, 2)]),
        ([[1], [2, 3]], [(1,), (2, 3)]),
    ):
        asks = completion_asks(read(CompletionBody, {"prompt": prompt}), 64)
        assert [ask.prompt for ask in asks] == expected


def test_settings_of_the_template_are_given_to_it() -> None:
    prompt = chat(chat_template_kwargs={"enable_thinking": True}).prompt
    assert isinstance(prompt, ChatAsk)
    assert prompt.variables == {"enable_thinking": True}
    for name in ("tools", "messages", "add_generation_prompt", "raise_exception", "unheard_of"):
        with pytest.raises(InvalidRequest, match=f"chat_template_kwargs.{name}: is not known"):
            chat(chat_template_kwargs={name: "x"})


TEXT, NAMED = json.dumps(SCHEMA), {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
SPELLINGS: list[tuple[dict[str, Any], str, ConstraintKind, str]] = [
    ({"guided_json": SCHEMA}, "guided_json", ConstraintKind.JSON_SCHEMA, TEXT),
    ({"guided_json": TEXT}, "guided_json", ConstraintKind.JSON_SCHEMA, TEXT),
    ({"guided_regex": "a+"}, "guided_regex", ConstraintKind.REGEX, "a+"),
    ({"guided_grammar": 'start: "a"'}, "guided_grammar", ConstraintKind.GRAMMAR, 'start: "a"'),
    ({"guided_choice": ["a", "b"]}, "guided_choice", ConstraintKind.CHOICE, '["a", "b"]'),
    ({"structured_outputs": {"json": True}}, "structured_outputs.json", ConstraintKind.JSON_SCHEMA, "true"),
    ({"structured_outputs": {"json_object": True}}, "structured_outputs.json_object", ConstraintKind.JSON_OBJECT, ""),
    ({"response_format": {"type": "json_object"}}, "response_format", ConstraintKind.JSON_OBJECT, ""),
    ({"response_format": NAMED}, "response_format.json_schema.schema", ConstraintKind.JSON_SCHEMA, TEXT),
]


@pytest.mark.parametrize(("fields", "name", "kind", "source"), SPELLINGS)
def test_constraints_in_every_spelling(fields: dict[str, Any], name: str, kind: ConstraintKind, source: str) -> None:
    constraint = Constraint(kind, source)
    assert constraint_of(read(ChatBody, {"messages": HELLO, **fields})) == (name, constraint)
    assert chat(**fields).constraint == constraint


def test_text_is_no_constraint() -> None:
    assert chat(response_format={"type": "text"}).constraint is None
    with pytest.raises(InvalidRequest, match="goes with type json_schema"):
        chat(response_format={"type": "text", "json_schema": {"name": "a", "schema": {}}})
