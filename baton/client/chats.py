"""Conversations as users write them: turns, calls and tools, also in the dictionaries that other clients use.

Knows nothing of the wire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from common.types.errors import invalid
from common.types.tools import Tool, ToolChoice

Choice = ToolChoice | Literal["auto", "none", "required"]
"""Whether an answer may call, must not, or must; `ToolChoice.named("f")` is the call that it must make."""
_TURN = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content", "refusal"}
_FUNCTION = {"name", "description", "parameters", "strict"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the assistant made; `arguments` is a JSON object, as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; the role is system, user, assistant, tool, or what the model's template knows."""

    role: str
    content: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """Of a tool's turn: the call it answers."""
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, rendered with the model's own template, and what its answer may call."""

    messages: tuple[Message, ...]
    add_generation_prompt: bool = True
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    template_variables: Mapping[str, bool | float | str] = field(default_factory=dict)
    """What the model's template asks for by name, such as `enable_thinking`."""


def as_chat(
    messages: Sequence[Message | Mapping[str, Any]],
    tools: Sequence[Tool | Mapping[str, Any]] = (),
    tool_choice: Choice | None = None,
    parallel_tool_calls: bool | None = None,
    template_variables: Mapping[str, bool | float | str] = MappingProxyType({}),
) -> Chat:
    """Accepts the dictionaries other clients use; a key without a meaning here is refused."""
    turns = tuple(turn if isinstance(turn, Message) else _turn(turn) for turn in messages)
    offered = tuple(tool if isinstance(tool, Tool) else _tool(tool) for tool in tools)
    choice = ToolChoice.of(tool_choice) if isinstance(tool_choice, str) else tool_choice
    return Chat(turns, True, offered, choice, parallel_tool_calls, dict(template_variables))


def _turn(turn: Mapping[str, Any]) -> Message:
    given = {key: value for key, value in turn.items() if value is not None}
    _check_keys(given, _TURN, "messages")
    content = given.get("content", given.get("refusal", ""))
    if not isinstance(given.get("role"), str) or not isinstance(content, str):
        raise invalid("messages", "every message has a role and, as text, a content")
    return Message(
        role=given["role"],
        content=content,
        name=given.get("name"),
        tool_calls=tuple(_call(call) for call in given.get("tool_calls", ())),
        tool_call_id=given.get("tool_call_id"),
        reasoning=given.get("reasoning", given.get("reasoning_content")),
    )


def _call(call: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    function = _function(call, {"id", "type", "function"}, {"name", "arguments"}, "messages.tool_calls")
    return ToolCall(call.get("id", ""), function.get("name", ""), function.get("arguments", ""))


def _tool(tool: Mapping[str, Any]) -> Tool:
    function = _function(tool, {"type", "function"}, _FUNCTION, "tools")
    given = {key: value for key, value in function.items() if value is not None}
    return Tool(**{"name": "", **given})


def _function(outer: Mapping[str, Any], known: set[str], inner: set[str], field: str) -> Mapping[str, Any]:
    """What stands under `function`, as OpenAI writes calls and tools."""
    _check_keys(outer, known, field)
    function = outer.get("function")
    if outer.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise invalid(field, "each is a function, described under that key")
    _check_keys(function, inner, field)
    return function


def _check_keys(given: Mapping[str, Any], known: set[str], field: str) -> None:
    if unknown := sorted(given.keys() - known):
        raise invalid(field, f"{unknown[0]!r} is not known here")
