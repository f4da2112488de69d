"""What an OpenAI-compatible stream says, event by event. Pure; bytes in, words out.

An event brought tokens when it has a choice with text, content, reasoning or tool calls in it, or an empty one: such a
token made no whole character. Not when it only opens the message (a role). One that only closes it (a finish reason)
may have brought the last token, or nothing: its time decides.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

MAX_LINE_BYTES = 8 << 20
SPOKEN = ("content", "reasoning_content", "reasoning", "tool_calls")


class BadStream(Exception):
    """An event that is no JSON object, or a line that does not end."""


@dataclass(frozen=True, slots=True)
class Said:
    """One event: whether tokens came with it, whether it only says why the answer ended, text, and counts if any."""

    brings_tokens: bool = False
    only_ends: bool = False
    text: str = ""
    num_input: int = 0
    num_output: int = 0
    error: str = ""
    done: bool = False


class EventLines:
    """The `data:` lines of server-sent events, whole, at any split of the bytes; comments and other fields are left."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise BadStream("a line without an end")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


def said(data: bytes) -> Said:
    """What one `data:` line says."""
    if data == b"[DONE]":
        return Said(done=True)
    try:
        event = json.loads(data)
    except ValueError:
        raise BadStream("an event that is no JSON") from None
    if not isinstance(event, dict):
        raise BadStream("an event that is no object")
    if event.get("error"):
        error = event["error"]
        kind = error.get("code") or error.get("type") if isinstance(error, dict) else None
        return Said(error=f"stream error {kind}" if kind else "stream error")
    try:
        usage = event.get("usage") or {}
        choices = event.get("choices") or []
        found = _choice(choices[0]) if choices else Said()
        num_input, num_output = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (AttributeError, TypeError, ValueError, KeyError):
        raise BadStream("an event of another shape") from None
    return replace(found, num_input=num_input, num_output=num_output)


def _choice(choice: dict[str, Any]) -> Said:
    delta = choice.get("delta")
    ends = choice.get("finish_reason") is not None
    if delta is None:
        text = _text(choice.get("text"))
        return Said(bool(text) or not ends, ends and not text, text)
    text = _text(delta.get("content"))
    if any(delta.get(name) for name in SPOKEN):
        return Said(True, False, text)
    return Said("role" not in delta and not ends, ends, text)


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value or ""
