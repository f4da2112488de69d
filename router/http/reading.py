"""How the answers to one chat are read: as plain text, or apart into reasoning, content and tool calls.

Found from the model's own chat template, and from what the chat offers. Knows nothing of streams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from common.text.reasoning import ReasoningFormat, reasoning_format
from common.text.schema import check_schema
from common.text.tools.constraint import Choose, Tool, ToolChoice, tool_constraint
from common.text.tools.formats import ToolFormat, teaches_short_ids, tool_format, tool_markers
from common.text.tools.ids import new_call_id, new_short_call_id
from common.text.tools.reader import Reader
from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import invalid
from router.http.schema.chat import ChatBody, NamedTool
from router.http.strict_json import parse_object
from router.served_model import ServedModel

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


def reading_of(body: ChatBody, model: ServedModel, constraint: Constraint | None) -> Reading:
    """A constraint leaves room for calls only where it is JSON, and for reasoning only beside calls.

    Tools whose calls cannot be read are refused.
    """
    offers = bool(body.tools) and body.tool_choice != "none"
    if offers and constraint is not None and constraint.kind not in JSON_KINDS:
        raise invalid("tools", "can be combined with JSON only; set tool_choice to none")
    if body.tools is None and body.tool_choice not in (None, "none"):
        raise invalid("tool_choice", "needs tools")
    if model.chat is None or (constraint is not None and not offers):
        return Reading(None, None, {}, False)
    tools, reasoning = formats_of(model.chat.source)
    if not offers:
        return Reading(None, reasoning, {}, False)
    if tools is None or not model.chat.takes_tools:
        raise invalid("tools", "this model's chat template teaches no tool calls that can be read")
    offered = {tool.function.name: tool.function.parameters or {} for tool in body.tools or ()}
    if len(offered) != len(body.tools or ()):
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


def with_calls(
    constraint: Constraint | None, body: ChatBody, reading: Reading, model: ServedModel
) -> Constraint | None:
    """What the answer must be where it may or must call tools; None where it may be anything."""
    if reading.tools is None:
        return constraint
    tools = [
        Tool(tool.function.name, tool.function.parameters, bool(tool.function.strict)) for tool in body.tools or ()
    ]
    return tool_constraint(
        reading.tools,
        tools,
        _choice(body),
        body.parallel_tool_calls is not False,
        mark_ids=_mark_ids(reading.tools, reading.reasoning, model),
        reasoning=reading.reasoning,
        inside_reasoning=reading.inside,
        answer=None if constraint is None else _schema_of(constraint),
    )


def _schema_of(constraint: Constraint) -> dict[str, Any]:
    """What a schema says is checked where the grammar is; it must be an object to stand beside calls."""
    if constraint.kind is ConstraintKind.JSON_OBJECT:
        return {"type": "object"}
    schema = parse_object(constraint.source.encode())
    check_schema(schema)
    return schema


def _choice(body: ChatBody) -> ToolChoice:
    if isinstance(body.tool_choice, NamedTool):
        return ToolChoice(Choose.NAMED, body.tool_choice.function.name)
    return ToolChoice(Choose(body.tool_choice or "auto"))


def _mark_ids(tools: ToolFormat | None, reasoning: ReasoningFormat | None, model: ServedModel) -> dict[str, int]:
    """Of the marks that the tokenizer has as tokens of their own."""
    marks = [*(() if tools is None else tool_markers(tools))]
    if reasoning is not None:
        marks += [reasoning.opening, reasoning.closing]
    found = ((mark, model.tokenizer.token_id(mark)) for mark in marks)
    return {mark: id for mark, id in found if id is not None and id in model.tokenizer.added_ids}
