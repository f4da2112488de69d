"""The model's words to itself, apart from its answer: `<think>...</think>` in front of it. Pure.

Reasoning stands only at the beginning. Some templates open it at the end of the prompt: then the text begins within.
White space around the marks belongs to them.
"""

from dataclasses import dataclass

from common.text.tools.parts import Content, Part, Reasoning

MAX_SPACES = 16
"""Held back in front of a mark; more of it counts as text."""


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """What stands before and after reasoning."""

    opening: str
    closing: str

    def is_open(self, prompt: str) -> bool:
        """Whether a rendered prompt ends within reasoning. Its last few characters are enough."""
        return prompt.rstrip().endswith(self.opening)

    def is_over(self, prompt: str) -> bool:
        """Whether it ends after reasoning, which some templates write themselves when none is wanted."""
        return prompt.rstrip().endswith(self.closing)


_FORMATS = (ReasoningFormat("<think>", "</think>"), ReasoningFormat("[THINK]", "[/THINK]"))


def reasoning_format(template: str) -> ReasoningFormat | None:
    """From a chat template's source: what its model is taught to put around its reasoning."""
    for format in _FORMATS:
        if format.closing in template:
            return format
    return None


class ReasoningReader:
    """Splits one answer's text as it comes. `inside` says that it begins within reasoning."""

    def __init__(self, format: ReasoningFormat, inside: bool) -> None:
        self._format = format
        self._inside = inside
        self._held = ""
        self._started = False
        self._skips_spaces = inside
        self.over = False
        """Whether all that comes is content."""

    def feed(self, text: str) -> tuple[Part, ...]:
        if self.over:
            return self._content(text)
        text, self._held = self._held + text, ""
        if not self._started:
            bare = text.lstrip()
            opening = self._format.opening
            near = len(text) - len(bare) <= MAX_SPACES
            if near and len(bare) < len(opening) and opening.startswith(bare):
                self._held = text
                return ()
            self._started = True
            if near and bare.startswith(opening):
                self._inside = self._skips_spaces = True
                text = bare.removeprefix(opening)
            self.over = not self._inside
            if self.over:
                return self._content(text)
        return self._reasoning(text)

    def end(self) -> tuple[Part, ...]:
        """What was held back, once nothing follows."""
        text, self._held = self._held, ""
        if not text or (self._inside and self._skips_spaces and text.isspace()):
            return ()
        return (Reasoning(text) if self._inside else Content(text),)

    def _reasoning(self, text: str) -> tuple[Part, ...]:
        if self._skips_spaces:
            text = text.lstrip()
            self._skips_spaces = not text
        found = text.find(self._format.closing)
        if found >= 0:
            self.over, self._inside, self._skips_spaces = True, False, True
            said = text[:found]
            after = self._content(text[found + len(self._format.closing) :])
            kept = said[: first_held_space(said)]
            return ((Reasoning(kept),) if kept else ()) + after
        certain = first_held(text, self._format.closing)
        self._held = text[certain:]
        return (Reasoning(text[:certain]),) if certain else ()

    def _content(self, text: str) -> tuple[Part, ...]:
        if self._skips_spaces:
            text = text.lstrip()
            self._skips_spaces = not text
        return (Content(text),) if text else ()


def first_held(text: str, *marks: str) -> int:
    """Where the text's end begins that may still become one of the marks, with the spaces in front of it.

    A mark's first character stands nowhere else in it, so the last place of that character is the only candidate.
    """
    end = len(text)
    for mark in marks:
        start = text.rfind(mark[0], max(0, len(text) - len(mark) + 1))
        if start >= 0 and mark.startswith(text[start:]):
            end = min(end, start)
    return first_held_space(text[:end])


def first_held_space(text: str) -> int:
    """Where the last spaces of a text begin, at most MAX_SPACES of them."""
    return max(len(text.rstrip()), len(text) - MAX_SPACES)
