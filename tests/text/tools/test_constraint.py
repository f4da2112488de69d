"""Forced calls: the grammars compile, take what the readers read, and take nothing else."""

import json
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from common.text.grammar import grammar_of
from common.text.reasoning import ReasoningFormat
from common.text.tools.constraint import tool_constraint
from common.text.tools.formats import ToolFormat, tool_markers
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest
from common.types.tools import Choose, Tool, ToolChoice
from tests.text.tools.reading import read, shown

THINK = ReasoningFormat("<think>", "</think>")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "[stop = 1] x-guidance ::= allow"},
        "days": {"$ref": "#/$defs/days"},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
}
WEATHER, STOP = Tool("weather", SCHEMA), Tool("stop")
OFFERED: dict[str, Any] = {"weather": SCHEMA, "stop": {}}
REQUIRED, AUTO = ToolChoice(Choose.REQUIRED), ToolChoice(Choose.AUTO)
ADDED = ["[TOOL_CALLS]", "[ARGS]", "<|python_tag|>"]


def _tokenizer() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>", *ADDED])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<tool_call>", "</tool_call>", "</think>")])
    return tokenizer


TOKENIZER = _tokenizer()
TOKENS = LLTokenizer(TOKENIZER.to_str(), eos_token=TOKENIZER.token_to_id("<eos>"))
MARKS = {
    text: TOKENIZER.token_to_id(text)
    for format in ToolFormat
    for text in (*tool_markers(format), "</think>")
    if TOKENIZER.token_to_id(text) is not None
}


def takes(constraint: Constraint | None, text: str) -> bool:
    """Whether an answer of exactly this text is allowed."""
    assert constraint is not None
    matcher = LLMatcher(TOKENS, grammar_of(constraint))
    assert not matcher.is_error(), matcher.get_error()
    ids = TOKENIZER.encode(text).ids
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def call(format: ToolFormat, *calls: tuple[str, str]) -> str:
    match format:
        case ToolFormat.HERMES | ToolFormat.QWEN_XML:
            each = [f'<tool_call>\n{{"name": "{name}", "arguments": {said}}}\n</tool_call>' for name, said in calls]
            return "\n".join(each)
        case ToolFormat.LLAMA | ToolFormat.LLAMA_LIST:
            return "".join(f'{{"name": "{name}", "parameters": {said}}}' for name, said in calls)
        case ToolFormat.MISTRAL:
            each = [f'{{"name": "{name}", "arguments": {said}}}' for name, said in calls]
            return f"[TOOL_CALLS] [{', '.join(each)}]"
        case ToolFormat.MISTRAL_ARGS:
            return "".join(f"[TOOL_CALLS]{name}[ARGS]{said}" for name, said in calls)


OSLO = ("weather", '{"city": "Oslo", "days": 3}')
NOTHING = ("stop", "{}")
SEVERAL = [format for format in ToolFormat if format not in (ToolFormat.LLAMA, ToolFormat.LLAMA_LIST)]


@pytest.mark.parametrize("format", ToolFormat)
def test_a_required_call_is_taken_and_read(format: ToolFormat) -> None:
    constraint = tool_constraint(format, [WEATHER, STOP], REQUIRED, mark_ids=MARKS)
    for one in (OSLO, NOTHING):
        assert takes(constraint, call(format, one))
        assert shown(read(format, [call(format, one)], offered=OFFERED)) == [one]
    assert takes(constraint, call(format, ("weather", '{"city":"Oslo"}')))
    for wrong in ('{"days": 3}', '{"city": "Oslo", "days": 10}', '{"city": "Oslo", "x": 1}', "{}", "[]"):
        assert not takes(constraint, call(format, ("weather", wrong)))
    assert not takes(constraint, call(format, ("stop", '{"x": 1}')))
    assert not takes(constraint, call(format, ("other", "{}")))
    assert not takes(constraint, "Oslo is warm")
    assert not takes(constraint, "")


@pytest.mark.parametrize("format", SEVERAL)
def test_several_calls_unless_one_is_asked_for(format: ToolFormat) -> None:
    two = call(format, OSLO, NOTHING)
    assert shown(read(format, [two], offered=OFFERED)) == [OSLO, NOTHING]
    assert takes(tool_constraint(format, [WEATHER, STOP], REQUIRED, mark_ids=MARKS), two)
    assert not takes(tool_constraint(format, [WEATHER, STOP], REQUIRED, False, mark_ids=MARKS), two)
    assert not takes(tool_constraint(format, [STOP], AUTO, False, mark_ids=MARKS), call(format, NOTHING, NOTHING))


@pytest.mark.parametrize("format", ToolFormat)
def test_a_named_function_is_the_only_one(format: ToolFormat) -> None:
    constraint = tool_constraint(format, [WEATHER, STOP], ToolChoice(Choose.NAMED, "stop"), mark_ids=MARKS)
    assert takes(constraint, call(format, NOTHING))
    assert not takes(constraint, call(format, OSLO))


@pytest.mark.parametrize("format", ToolFormat)
def test_a_strict_function_leaves_text_alone(format: ToolFormat) -> None:
    strict = Tool("weather", SCHEMA, strict=True)
    constraint = tool_constraint(format, [strict, STOP], AUTO, mark_ids=MARKS)
    for text in ("", "Oslo is [warm] <b>{1}</b>\n", call(format, OSLO), call(format, ("stop", '{"x": 1}'))):
        assert takes(constraint, text)
    assert not takes(constraint, call(format, ("weather", '{"days": 3}')))
    if format in SEVERAL:
        assert takes(constraint, "I look.\n" + call(format, OSLO))
        assert not takes(constraint, "I look.\n" + call(format, ("weather", "{}")))


@pytest.mark.parametrize("format", [ToolFormat.HERMES, ToolFormat.MISTRAL_ARGS])
def test_marks_may_be_plain_text(format: ToolFormat) -> None:
    plain = tool_constraint(format, [WEATHER], REQUIRED)
    assert plain is not None
    assert "<[" not in plain.source


def _after_reasoning(inside: bool, marks: dict[str, int]) -> Constraint | None:
    options: dict[str, Any] = {"mark_ids": marks, "reasoning": THINK, "inside_reasoning": inside}
    return tool_constraint(ToolFormat.LLAMA, [STOP], REQUIRED, **options)


def test_reasoning_may_come_first() -> None:
    text = call(ToolFormat.LLAMA, NOTHING)
    assert takes(_after_reasoning(False, MARKS), text)
    assert takes(_after_reasoning(False, MARKS), f"<think>\nI should\n</think>\n\n{text}")
    assert takes(_after_reasoning(True, MARKS), f"I {{should}}</think>{text}")
    assert not takes(_after_reasoning(True, MARKS), "I should</think> hello")
    assert not takes(_after_reasoning(True, MARKS), text)


def test_reasoning_whose_mark_is_plain_text() -> None:
    constraint = _after_reasoning(True, {})
    assert constraint is not None
    matcher = LLMatcher(TOKENS, grammar_of(constraint))
    plain = [TOKENIZER.token_to_id(letter) for letter in "a<</think>"]
    assert matcher.try_consume_tokens(plain) == len(plain)
    assert matcher.try_consume_tokens([TOKENIZER.token_to_id("a")]) == 0
    assert matcher.try_consume_tokens(TOKENIZER.encode('{"name').ids) == 6


def test_no_constraint_where_an_answer_may_be_anything() -> None:
    assert tool_constraint(ToolFormat.HERMES, [WEATHER], AUTO) is None
    assert tool_constraint(ToolFormat.HERMES, [WEATHER], ToolChoice(Choose.NONE)) is None
    assert tool_constraint(ToolFormat.HERMES, [], REQUIRED) is None


@pytest.mark.parametrize(
    ("tools", "choice", "field"),
    [
        ([WEATHER], ToolChoice(Choose.NAMED, "other"), "tool_choice"),
        ([STOP, Tool("x", {"type": "array"})], REQUIRED, r"tools\[1\]\.function\.parameters"),
        ([Tool("x", {"x-guidance": {}})], REQUIRED, r"tools\[0\]\.function\.parameters"),
        ([Tool("x", json.loads('{"items":' * 70 + "{}" + "}" * 70))], REQUIRED, r"tools\[0\]"),
    ],
)
def test_what_is_wrong_is_named(tools: list[Tool], choice: ToolChoice, field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        tool_constraint(ToolFormat.HERMES, tools, choice)


@pytest.mark.parametrize("format", list(ToolFormat))
def test_dates_of_arguments_are_the_calendars(format: ToolFormat) -> None:
    schema = {
        "type": "object",
        "properties": {"day": {"type": "string", "format": "date"}},
        "required": ["day"],
        "additionalProperties": False,
    }
    constraint = tool_constraint(format, [Tool("meet", schema)], REQUIRED, mark_ids=MARKS)
    for day, is_one in (("2024-02-29", True), ("2023-02-29", False), ("0000-01-01", False), ("2023-12-31", True)):
        assert takes(constraint, call(format, ("meet", f'{{"day": "{day}"}}'))) is is_one, day


def test_the_answer_beside_calls_has_the_calendars_dates_too() -> None:
    answer = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]}
    constraint = tool_constraint(ToolFormat.HERMES, [STOP], AUTO, mark_ids=MARKS, answer=answer)
    assert takes(constraint, '{"day": "2024-02-29"}')
    assert not takes(constraint, '{"day": "2023-02-29"}')
