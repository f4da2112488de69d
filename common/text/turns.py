"""A conversation with tool calls in the forms that templates take it, the plainest first.

Templates disagree: some fail on an assistant's turn without content, some want a tool's answer to name the function,
and a few take arguments as text. What OpenAI's clients send has none of it, so each form is tried until one renders.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Turns = list[dict[str, Any]]


def forms(messages: Sequence[Mapping[str, Any]]) -> Iterator[Turns]:
    """As given but for what is None, as transformers does it, and other forms of the same where there are any."""
    given = [{key: value for key, value in message.items() if value is not None} for message in messages]
    yield given
    filled = _filled(given)
    if filled != given:
        yield filled
    written = [_written(message) for message in filled]
    if written != filled:
        yield written


def _filled(messages: Turns) -> Turns:
    """With empty content for none, and the function's name on a tool's answer."""
    names: dict[object, object] = {}
    filled: Turns = []
    for message in messages:
        message = dict(message)
        for call in message.get("tool_calls") or ():
            names[call.get("id")] = call["function"]["name"]
        message.setdefault("content", "")
        if message["role"] == "tool" and message.get("tool_call_id") in names:
            message.setdefault("name", names[message["tool_call_id"]])
        filled.append(message)
    return filled


def _written(message: dict[str, Any]) -> dict[str, Any]:
    """With its calls' arguments as JSON text."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}
