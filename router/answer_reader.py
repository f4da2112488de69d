"""Reads one answer as it comes, and remembers what its last words need: calls made, tokens spent on reasoning."""

from common.text.tools.parts import CallBegin, Content, Part, Reasoning
from router.reading import Reading


class AnswerReader:
    """`feed` every stretch of text in order, then `end`."""

    def __init__(self, reading: Reading, *, whole: bool) -> None:
        self._reader = None if reading.plain else reading.reader(whole=whole)
        self._thinks = reading.reasoning is not None
        self._has_thought = False
        self._num_tokens = 0
        self.called = False

    @property
    def num_reasoning_tokens(self) -> int:
        """Tokens up to the first word of the answer proper, where there was reasoning before it."""
        return self._num_tokens if self._has_thought else 0

    def feed(self, text: str, num_tokens: int) -> tuple[Part, ...]:
        if self._reader is None:
            return (Content(text),) if text else ()
        if self._thinks:
            self._num_tokens += num_tokens
        return self._seen(self._reader.feed(text))

    def end(self) -> tuple[Part, ...]:
        return () if self._reader is None else self._seen(self._reader.end())

    def _seen(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        for part in parts:
            if isinstance(part, Reasoning):
                self._has_thought = True
            else:
                self._thinks = False
                self.called = self.called or isinstance(part, CallBegin)
        return parts
