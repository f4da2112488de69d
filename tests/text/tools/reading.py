"""Reads a text in pieces and gives the parts, with ids that count."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from common.text.tools.formats import ToolFormat
from common.text.tools.parts import CallArguments, CallBegin, Content, Part, Reasoning, merged
from common.text.tools.reader import Reader

STRINGS = {"city": {"type": "string"}, "days": {"type": "integer"}}
OFFERED: dict[str, dict[str, Any]] = {
    "weather": {"type": "object", "properties": STRINGS},
    "now": {},
    "a.b-c_1": {"type": "object", "properties": {"x": {}}},
}


def read(format: ToolFormat | None, pieces: Iterable[str], **options: Any) -> tuple[Part, ...]:
    ids = iter(range(1 << 20))
    reader = Reader(format, options.pop("offered", OFFERED), new_id=lambda: f"id{next(ids)}", **options)
    parts = [part for piece in pieces for part in reader.feed(piece)]
    return merged((*parts, *reader.end()))


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    """The text in pieces; cuts beyond it are ignored."""
    places = [0, *sorted({place for place in cuts if place <= len(text)}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


def shown(parts: Iterable[Part]) -> list[object]:
    """Short: texts as they are, reasoning as a set of one, calls as pairs of name and arguments."""
    out: list[Any] = []
    for part in parts:
        match part:
            case Content(text):
                out.append(text)
            case Reasoning(text):
                out.append({text})
            case CallBegin(_, _, name):
                out.append((name, ""))
            case CallArguments(_, text):
                out[-1] = (out[-1][0], out[-1][1] + text)
    return out
