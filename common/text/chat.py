"""Renders a conversation with the model's own chat template: the same text as transformers' apply_chat_template.

Templates come from the model folder, never from a client, and even so run in a sandbox with bounds on messages, output
and time. Knows nothing of tokens.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.meta import find_undeclared_variables

from common.text.files import read_object, read_text
from common.text.sandbox import TICK, Refused, Sandbox, TooLong
from common.text.turns import Turns, forms
from common.types.errors import ModelError, invalid

_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a template meets in messages of a form that it was not written for."""
_OWN_VARIABLES = {"messages", "tools", "documents", "add_generation_prompt"}


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """Bounds on one rendering."""

    max_messages: int = 1024
    max_chars: int = 1 << 20
    max_seconds: float = 2.0


class ChatTemplate:
    """A compiled template; immutable, safe to use from several threads."""

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        limits: ChatLimits = ChatLimits(),
        tool_source: str | None = None,
    ) -> None:
        """`tool_source` is a template of its own for chats with tools, which a few models have."""
        self._sandbox = Sandbox()
        self.source = source if tool_source is None else tool_source
        """What tells how the model writes: the template for tools where there is one."""
        try:
            self._template: Template = self._sandbox.bounded_template(source)
            self._tool_template: Template = self._sandbox.bounded_template(self.source)
            self._variables = find_undeclared_variables(self._sandbox.parse(self.source))
        except TemplateError as error:
            raise ModelError("the model's chat template does not compile", "Check chat_template.jinja") from error
        self._special_tokens, self._limits = dict(special_tokens), limits

    @classmethod
    def load(
        cls, folder: Path, special_tokens: Mapping[str, str], limits: ChatLimits = ChatLimits()
    ) -> "ChatTemplate | None":
        """None when the model has no template."""
        source = read_text(folder / "chat_template.jinja")
        tool_source = read_text(folder / "additional_chat_templates" / "tool_use.jinja")
        if source is None:
            named = _from_config(read_object(folder / "tokenizer_config.json").get("chat_template"))
            source, tool_source = named.get("default"), named.get("tool_use")
        return None if source is None else cls(source, special_tokens, limits, tool_source)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """Of messages as transformers takes them, oldest first. Raises InvalidRequest, whatever goes wrong inside."""
        if not 1 <= len(messages) <= self._limits.max_messages:
            raise invalid("chat.messages", f"must have between 1 and {self._limits.max_messages} entries")
        if not all(message.get("role") for message in messages):
            raise invalid("chat.messages.role", "must be set")
        given = {
            **variables,
            "tools": [dict(tool) for tool in tools] or None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **self._special_tokens,
        }
        deadline = time.monotonic() + self._limits.max_seconds
        try:
            return self._render_some(forms(messages), given, deadline)
        except Refused as error:
            raise invalid("chat.messages", f"the model's chat template refuses them: {error.reason}") from error
        except TooLong as error:
            raise invalid("chat.messages", "take too long or too much room to render") from error
        except Exception as error:
            raise invalid("chat.messages", "cannot be rendered with the model's chat template") from error

    @property
    def takes_tools(self) -> bool:
        """Whether it tells the model which tools there are."""
        return "tools" in self._variables

    def may_set(self, variable: str) -> bool:
        """Whether the template looks at a variable of that name, and it is one for whoever renders to give."""
        own = variable in _OWN_VARIABLES or variable in self._special_tokens or variable in self._sandbox.globals
        return variable in self._variables and not own

    def _render_some(self, turns: Iterator[Turns], given: dict[str, Any], deadline: float) -> str:
        """The first form that renders; when none does, what the first one met."""
        first: Exception | None = None
        for messages in turns:
            try:
                return self._render({**given, "messages": messages}, deadline)
            except TooLong:
                raise
            except _FAULTS as error:
                first = first or error
        raise first or TooLong

    def _render(self, given: dict[str, Any], deadline: float) -> str:
        def tick() -> None:
            if time.monotonic() > deadline:
                raise TooLong

        variables = {**given, TICK: tick}
        pieces: list[str] = []
        num_chars = 0
        template = self._tool_template if given["tools"] else self._template
        for piece in template.generate(variables):
            pieces.append(piece)
            num_chars += len(piece)
            if num_chars > self._limits.max_chars:
                raise TooLong
        return "".join(pieces)


def _from_config(said: object) -> dict[str, str]:
    """Templates by name: one, which is the default, or several, listed or by name."""
    if isinstance(said, list):
        said = {entry.get("name"): entry.get("template") for entry in said if isinstance(entry, dict)}
    if isinstance(said, str):
        said = {"default": said}
    if not isinstance(said, dict):
        return {}
    return {name: source for name, source in said.items() if isinstance(source, str)}
