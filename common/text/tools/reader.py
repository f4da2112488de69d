"""Reads an answer's text as it comes into reasoning, content and tool calls.

The parts, put together, do not depend on where the text was split. What only looked like a call comes out as content,
as it was written. Of a call that breaks after its beginning was shown, what follows the last good character is content;
where calls are shown `whole`, all of it is. Nothing is lost but white space next to a mark. Memory is bounded, and the
time is linear in the text.

Knows nothing of tokens and of how parts are sent. One reader for one choice.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from common.text.reasoning import ReasoningFormat, ReasoningReader, first_held, first_held_space
from common.text.tools.calls import Calls
from common.text.tools.formats import ToolFormat
from common.text.tools.grammar_steps import Broken, Steps
from common.text.tools.ids import NewId, new_call_id
from common.text.tools.llama import llama_answer, llama_marked
from common.text.tools.mistral import mistral_calls
from common.text.tools.parts import Content, Part, merged
from common.text.tools.tagged import tagged_call

MAX_UNSETTLED_CHARS = 1 << 20
"""Text that is held until it is certain whether it is a call; longer than that, it is none."""

STRETCH_CHARS = 1024
_Parser = Callable[[Calls], Steps[None]]
_LLAMA: dict[str, _Parser] = {"<|python_tag|>": llama_marked, "<|python_start|>": llama_marked}
_OPENINGS: dict[ToolFormat, dict[str, _Parser]] = {
    ToolFormat.HERMES: {"<tool_call>": tagged_call},
    ToolFormat.QWEN_XML: {"<tool_call>": tagged_call},
    ToolFormat.LLAMA: _LLAMA,
    ToolFormat.LLAMA_LIST: _LLAMA,
    ToolFormat.MISTRAL: {"[TOOL_CALLS]": mistral_calls},
    ToolFormat.MISTRAL_ARGS: {"[TOOL_CALLS]": mistral_calls},
}
_UNMARKED: dict[ToolFormat, _Parser] = {ToolFormat.LLAMA: llama_answer, ToolFormat.LLAMA_LIST: llama_answer}


class Reader:
    """Feed it each piece of text, then `end` it once; both return the parts that became certain."""

    def __init__(
        self,
        format: ToolFormat | None,
        offered: Mapping[str, Mapping[str, Any]],
        reasoning: ReasoningFormat | None = None,
        *,
        inside_reasoning: bool = False,
        whole: bool = False,
        new_id: NewId = new_call_id,
    ) -> None:
        """`offered`: each function that may be called and the schema of its arguments; with none, nothing is a call.

        `inside_reasoning`: the prompt ends within reasoning, as `ReasoningFormat.is_open` says. `whole`: a call is
        shown once it is finished, which an answer that is not streamed wants.
        """
        self._reasoning = None if reasoning is None else ReasoningReader(reasoning, inside_reasoning)
        self._calls = Calls(offered, new_id, whole)
        self._openings = _OPENINGS[format] if format is not None and offered else {}
        self._steps: Steps[None] | None = None
        self._want: re.Pattern[str] | None = None
        self._unsettled: list[str] = []
        self._num_unsettled = 0
        self._held = ""
        self._skips_spaces = False
        if format is not None and offered and format in _UNMARKED:
            self._open(_UNMARKED[format])

    def feed(self, text: str) -> tuple[Part, ...]:
        parts: list[Part] = []
        if self._reasoning is None:
            self._answer(text, parts)
        else:
            self._split(self._reasoning.feed(text), parts)
        return merged(parts)

    def end(self) -> tuple[Part, ...]:
        """What was held back, once nothing follows."""
        parts: list[Part] = []
        if self._reasoning is not None:
            self._split(self._reasoning.end(), parts)
        if self._steps is not None:
            self._calls.drop()
            self._held = self._close()
        if self._held and not (self._skips_spaces and self._held.isspace()):
            parts.append(Content(self._held))
        self._held = ""
        return merged(parts)

    def _split(self, parts: tuple[Part, ...], into: list[Part]) -> None:
        """Content is looked at for calls; reasoning is not."""
        for part in parts:
            if isinstance(part, Content):
                self._answer(part.text, into)
            else:
                into.append(part)

    def _answer(self, text: str, parts: list[Part]) -> None:
        """Until all of the text is parts, within a call, or held. In short stretches: what is left is copied."""
        for start in range(0, len(text), STRETCH_CHARS):
            left, num_seen = text[start : start + STRETCH_CHARS], 0
            while left:
                if self._steps is not None:
                    left, num_seen = self._call(left, parts)
                else:
                    left, num_seen = self._words(self._held + left, num_seen, parts), 0

    def _words(self, text: str, num_seen: int, parts: list[Part]) -> str:
        """Content up to a call's opening; returns the text after it. No opening lies within the first `num_seen`."""
        self._held = ""
        if self._skips_spaces:
            num_chars = len(text)
            text = text.lstrip()
            num_seen = max(0, num_seen - (num_chars - len(text)))
            self._skips_spaces = not text
        if not self._openings:
            return _say(text, parts)
        places = ((text.find(each, max(0, num_seen - len(each) + 1)), each) for each in self._openings)
        start, opening = min((place for place in places if place[0] >= 0), default=(-1, ""))
        if start >= 0:
            said = text[:start]
            certain = first_held_space(said)
            _say(said[:certain], parts)
            self._open(self._openings[opening])
            self._keep(said[certain:] + opening)
            return text[start + len(opening) :]
        certain = first_held(text, *self._openings)
        self._held = text[certain:]
        return _say(text[:certain], parts)

    def _call(self, text: str, parts: list[Part]) -> tuple[str, int]:
        """Sends the text to the parser until it is done or broken; returns what is left, and how much of it is seen."""
        steps = self._steps
        at = 0
        while steps is not None and at < len(text):
            found = None if self._want is None else self._want.match(text, at)
            until = found.end() if found else at + 1
            until = min(until, at + MAX_UNSETTLED_CHARS - self._num_unsettled)
            piece = text[at:until]
            try:
                if not piece:
                    raise Broken
                self._want = steps.send(piece)
            except StopIteration:
                steps = None
            except Broken:
                self._calls.drop()
                parts += self._calls.take()
                unsettled = self._close()
                return unsettled + text[at:], len(unsettled)
            at = until
            self._keep(piece)
            if self._calls.settled():
                parts += self._calls.take()
                self._forget()
                self._skips_spaces = True
        if steps is None:
            self._close()
        return text[at:], 0

    def _open(self, parser: _Parser) -> None:
        self._steps = parser(self._calls)
        self._want = next(self._steps)

    def _close(self) -> str:
        """Leaves the call; returns the text that became no part."""
        unsettled = "".join(self._unsettled)
        self._steps = None
        self._forget()
        return unsettled

    def _keep(self, text: str) -> None:
        self._unsettled.append(text)
        self._num_unsettled += len(text)

    def _forget(self) -> None:
        self._unsettled.clear()
        self._num_unsettled = 0


def _say(text: str, parts: list[Part]) -> str:
    if text:
        parts.append(Content(text))
    return ""
