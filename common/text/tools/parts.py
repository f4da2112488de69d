"""What an answer's text is made of, in the order it came. Frozen data only."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """Words for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The model's words to itself."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A tool call and its function's name; `index` counts an answer's calls from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next piece of a call's arguments. All pieces of a finished call together are one JSON object."""

    index: int
    text: str


Part = Content | Reasoning | CallBegin | CallArguments


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The same with neighbours of one kind put together: what does not depend on where the text was split."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        match last, part:
            case Content(before), Content(text):
                out[-1] = Content(before + text)
            case Reasoning(before), Reasoning(text):
                out[-1] = Reasoning(before + text)
            case CallArguments(index, before), CallArguments(same, text) if index == same:
                out[-1] = CallArguments(index, before + text)
            case _:
                out.append(part)
    return tuple(out)
