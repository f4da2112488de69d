"""How the answers to one chat are read: as plain text, or apart into reasoning, content and tool calls.

Found from the model's own chat template, and from what the chat offers. Knows nothing of streams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from common.text.reasoning import ReasoningFormat, reasoning_format
from common.text.schema import check_schema
from common.text.tools.constraint import tool_constraint
from common.text.tools.formats import ToolFormat, teaches_short_ids, tool_format, tool_markers
from common.text.tools.ids import new_call_id, new_short_call_id
from common.text.tools.reader import Reader
from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import BatonError, invalid
from common.types.tools import Choose, Offer, ToolChoice
from router.ask import Ask
from router.served_model import ServedModel
from router.serving import Serving
from router.strict_json import parse_object

JSON_KINDS = (ConstraintKind.JSON_OBJECT, ConstraintKind.JSON_SCHEMA)
TAIL_TOKENS = 16
"""Of the prompt: enough to see whether it ends within reasoning."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Made by `reading_of`. Without tools and reasoning there is nothing to read apart."""

    tools: ToolFormat | None
    reasoning: ReasoningFormat | None
    offered: Mapping[str, Mapping[str, Any]]
    short_ids: bool
    inside: bool = False

    @property
    def plain(self) -> bool:
        return self.tools is None and self.reasoning is None

    def reader(self, *, whole: bool) -> Reader:
        """One for each answer; `whole` where nobody watches it grow."""
        return Reader(
            self.tools,
            self.offered,
            self.reasoning,
            inside_reasoning=self.inside,
            whole=whole,
            new_id=new_short_call_id if self.short_ids else new_call_id,
        )

    def shown_special_ids(self, model: ServedModel) -> frozenset[int]:
        """Marks that are special tokens must stay in the text that is read."""
        marks = _mark_ids(self.tools, self.reasoning, model)
        return model.tokenizer.special_ids.intersection(marks.values())


@lru_cache(maxsize=8)
def formats_of(template: str) -> tuple[ToolFormat | None, ReasoningFormat | None]:
    return tool_format(template), reasoning_format(template)


def reading_of(offer: Offer, model: ServedModel, constraint: Constraint | None) -> Reading:
    """A constraint leaves room for calls only where it is JSON, and for reasoning only beside calls.

    Tools whose calls cannot be read are refused.
    """
    if offer.stands and constraint is not None and constraint.kind not in JSON_KINDS:
        raise invalid("tools", "can be combined with JSON only; set tool_choice to none")
    if not offer.tools and offer.choice is not None and offer.choice.choose is not Choose.NONE:
        raise invalid("tool_choice", "needs tools")
    if model.chat is None or (constraint is not None and not offer.stands):
        return Reading(None, None, {}, False)
    tools, reasoning = formats_of(model.chat.source)
    if not offer.stands:
        return Reading(None, reasoning, {}, False)
    if tools is None or not model.chat.takes_tools:
        raise invalid("tools", "this model's chat template teaches no tool calls that can be read")
    offered = {tool.name: tool.parameters or {} for tool in offer.tools}
    if len(offered) != len(offer.tools):
        raise invalid("tools", "must not name a function twice")
    return Reading(tools, reasoning, offered, teaches_short_ids(model.chat.source))


def after_prompt(reading: Reading, model: ServedModel, token_ids: Sequence[int]) -> Reading:
    """The prompt's end may have opened reasoning, or closed it already."""
    if reading.reasoning is None:
        return reading
    tail = model.tokenizer.decode(token_ids[-TAIL_TOKENS:], skip_special_tokens=False)
    if reading.reasoning.is_over(tail):
        return replace(reading, reasoning=None)
    return replace(reading, inside=reading.reasoning.is_open(tail))


def with_calls(constraint: Constraint | None, offer: Offer, reading: Reading, model: ServedModel) -> Constraint | None:
    """What the answer must be where it may or must call tools; None where it may be anything."""
    if reading.tools is None:
        return constraint
    return tool_constraint(
        reading.tools,
        offer.tools,
        offer.choice or ToolChoice(Choose.AUTO),
        offer.parallel,
        mark_ids=_mark_ids(reading.tools, reading.reasoning, model),
        reasoning=reading.reasoning,
        inside_reasoning=reading.inside,
        answer=None if constraint is None else _schema_of(constraint),
    )


@dataclass(frozen=True, slots=True)
class ReadApart:
    """A chat as it goes to the serving, and how its answers are read. `token_ids` are the prompt's, once looked at."""

    ask: Ask
    reading: Reading
    token_ids: tuple[int, ...] = ()


async def read_apart(serving: Serving, ask: Ask, offer: Offer, *, shows_prompt: bool = False) -> ReadApart:
    """Whatever front it came through. Raises InvalidRequest that names `tools`, `tool_choice` or one tool's schema."""
    try:
        serving.check_open()
        return await _read_apart(serving, ask, offer, shows_prompt)
    except BatonError as error:
        serving.tally.refuse(error)
        raise


async def _read_apart(serving: Serving, ask: Ask, offer: Offer, shows_prompt: bool) -> ReadApart:
    model, token_ids = serving.model, tuple[int, ...]()
    reading = reading_of(offer, model, ask.constraint)
    if shows_prompt or reading.reasoning is not None:
        token_ids = await serving.token_ids(ask.prompt)
        reading = after_prompt(reading, model, token_ids)
        ask = replace(ask, prompt=token_ids)
    constraint = with_calls(ask.constraint, offer, reading, model)
    ask = replace(ask, constraint=constraint, shown_special_ids=reading.shown_special_ids(model))
    return ReadApart(ask, reading, token_ids)


def _schema_of(constraint: Constraint) -> dict[str, Any]:
    """What a schema says is checked where the grammar is; it must be an object to stand beside calls."""
    if constraint.kind is ConstraintKind.JSON_OBJECT:
        return {"type": "object"}
    schema = parse_object(constraint.source.encode())
    check_schema(schema)
    return schema


def _mark_ids(tools: ToolFormat | None, reasoning: ReasoningFormat | None, model: ServedModel) -> dict[str, int]:
    """Of the marks that the tokenizer has as tokens of their own."""
    marks = [*(() if tools is None else tool_markers(tools))]
    if reasoning is not None:
        marks += [reasoning.opening, reasoning.closing]
    found = ((mark, model.tokenizer.token_id(mark)) for mark in marks)
    return {mark: id for mark, id in found if id is not None and id in model.tokenizer.added_ids}
