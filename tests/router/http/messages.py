"""What a serving would write, made up: any text, in any pieces."""

import json
from collections.abc import Sequence
from typing import Any

from common.types.sampling import FinishReason
from router.answer import Delta
from router.serving import Accepted, Message
from router.timeline import Summary, Timings

TIMINGS = Timings(1.0, 2.0, 3.0, 4.0, 3.0, 10.0)


def written(pieces: Sequence[str], finish: FinishReason = FinishReason.STOP, choice: int = 0) -> list[Message]:
    """One token for each piece."""
    last = len(pieces) - 1
    deltas = [
        Delta(choice, piece, (place,), (), finish if place == last else None) for place, piece in enumerate(pieces)
    ]
    return [Accepted("r-1", "tiny", 3), *deltas, summary(len(pieces))]


def summary(num_output_tokens: int = 1) -> Summary:
    return Summary(3, 0, num_output_tokens, TIMINGS, 1, ())


def parsed(data: bytes) -> list[dict[str, Any]]:
    """The chunks in these events."""
    return [json.loads(event.removeprefix(b"data: ")) for event in data.split(b"\n\n") if event]


def joined(chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream's chunks of one choice add up to."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "tool_calls": {}}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning") or ""
            assert delta.get("reasoning") == delta.get("reasoning_content")
            for call in delta.get("tool_calls", ()):
                known = message["tool_calls"].setdefault(call["index"], {"arguments": "", "name": "", "id": ""})
                known["id"] += call.get("id", "")
                known["name"] += call["function"].get("name", "")
                known["arguments"] += call["function"]["arguments"]
            message["finish"] = choice["finish_reason"]
    return message
