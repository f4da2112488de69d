"""The parts of a chat's answer in OpenAI's words: content, reasoning under both of its names, tool calls. Pure."""

from collections.abc import Iterable
from typing import Any

from common.text.tools.parts import CallArguments, CallBegin, Content, Part, Reasoning
from common.types.sampling import FinishReason


def delta_of(part: Part) -> dict[str, Any]:
    """What one part adds to a streamed message."""
    match part:
        case Content(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning": text, "reasoning_content": text}
        case CallBegin(index, id, name):
            return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": _function(name, "")}]}
        case CallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def message_of(parts: Iterable[Part]) -> dict[str, Any]:
    """A whole message. Content is null where there are only calls."""
    content: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Content(text):
                content.append(text)
            case Reasoning(text):
                reasoning.append(text)
            case CallBegin(_, id, name):
                calls.append({"id": id, "type": "function", "function": _function(name, "")})
            case CallArguments(index, text):
                calls[index]["function"]["arguments"] += text
    message: dict[str, Any] = {"role": "assistant", "content": "".join(content), "refusal": None}
    if calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = calls
    if reasoning:
        message["reasoning"] = message["reasoning_content"] = "".join(reasoning)
    return message


def finish_of(finish: FinishReason | None, *, called: bool) -> str | None:
    """An answer that ended by itself and holds a call waits for the call's result."""
    if finish is None:
        return None
    return "tool_calls" if called and finish is FinishReason.STOP else finish.value


def _function(name: str, arguments: str) -> dict[str, str]:
    return {"name": name, "arguments": arguments}
