"""What every front asks of a conversation's turns. Pure; knows nothing of templates."""

from collections.abc import Mapping
from typing import Any

from common.types.errors import InvalidRequest, invalid
from router.ask import ChatMessage
from router.strict_json import parse_object


def checked_turn(turn: ChatMessage, field: str) -> ChatMessage:
    """The same; raises InvalidRequest that names the part of `field` that cannot be."""
    if turn.content is None and not (turn.role == "assistant" and turn.tool_calls):
        raise invalid(f"{field}.content", "must be set")
    if turn.tool_calls and turn.role != "assistant":
        raise invalid(f"{field}.tool_calls", "only an assistant calls tools")
    if (turn.role == "tool") != (turn.tool_call_id is not None):
        raise invalid(f"{field}.tool_call_id", "must be set for role tool, and only there")
    return turn


def arguments_of(text: str, field: str) -> Mapping[str, Any]:
    """Templates write the arguments themselves, so they get them as an object."""
    try:
        return parse_object((text or "{}").encode())
    except InvalidRequest:
        raise invalid(field, "must be the text of a JSON object") from None
