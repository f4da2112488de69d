"""The model this router serves, as far as text and limits go: tokenizer, chat template, sizes. No weights, no torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.models.config import ModelConfig
from common.models.fingerprint import model_fingerprint
from common.text.chat import ChatTemplate
from common.text.token_bytes import TokenBytes
from common.text.tokenizer import Tokenizer
from common.text.tools.formats import teaches_short_ids
from common.text.tools.ids import short_call_id
from common.types.errors import invalid
from router.ask import ChatAsk, ChatMessage, Prompt

MOST_TOKENS = 1 << 18
"""Of a text, where the model's own context is shorter: more are not even listed."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Immutable after loading; safe to use from several threads."""

    id: str
    fingerprint: str
    architecture: str
    vocab_size: int
    max_tokens: int
    end_token_ids: tuple[int, ...]
    tokenizer: Tokenizer
    chat: ChatTemplate | None
    names: TokenBytes

    @classmethod
    def load(cls, folder: Path, id: str) -> "ServedModel":
        """Raises ModelError, which says what is missing or broken."""
        config = ModelConfig.load(folder)
        tokenizer = Tokenizer.load(folder)
        return cls(
            id=id or os.path.basename(os.path.abspath(folder)),
            fingerprint=model_fingerprint(folder),
            architecture=config.architecture,
            vocab_size=config.vocab_size,
            max_tokens=config.max_tokens,
            end_token_ids=config.end_token_ids(tokenizer.eos_token_id),
            tokenizer=tokenizer,
            chat=ChatTemplate.load(folder, tokenizer.special_tokens),
            names=TokenBytes(tokenizer),
        )

    def token_ids(self, prompt: Prompt | None, *, add_special_tokens: bool = True) -> tuple[int, ...]:
        """May take long for a long text. A rendered chat brings its own special tokens."""
        match prompt:
            case None:
                raise invalid("prompt", "must be set")
            case str():
                return tuple(self.tokenizer.encode(prompt, add_special_tokens, max(MOST_TOKENS, self.max_tokens)))
            case ChatAsk():
                text = self._rendered(prompt)
                return tuple(self.tokenizer.encode(text, False, max(MOST_TOKENS, self.max_tokens)))
            case _:
                return prompt

    def decoded(self, token_ids: Sequence[int]) -> str:
        """As answers are shown: without special tokens."""
        return self.tokenizer.decode(token_ids)

    def _rendered(self, ask: ChatAsk) -> str:
        if self.chat is None:
            raise invalid("chat", "this model has no chat template; send text or tokens")
        unknown = [name for name in ask.variables if not self.chat.may_set(name)]
        if unknown:
            raise invalid(f"chat.template_variables.{unknown[0]}", "is not known to this model's chat template")
        return self.chat.render(
            [_as_templates_expect(message, self.chat) for message in ask.messages],
            ask.add_generation_prompt,
            tools=ask.tools,
            variables=ask.variables,
        )


def _as_templates_expect(message: ChatMessage, template: ChatTemplate) -> dict[str, Any]:
    """Absent is absent, not null: templates ask whether a key is there. Few know the developer's role."""
    short = short_call_id if teaches_short_ids(template.source) else str
    role = message.role
    if role == "developer" and role not in template.source:
        role = "system"
    turn: dict[str, Any] = {"role": role, "content": message.content}
    if message.name is not None:
        turn["name"] = message.name
    if message.tool_call_id is not None:
        turn["tool_call_id"] = short(message.tool_call_id)
    if message.reasoning is not None:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": short(call.id),
                "type": "function",
                "function": {"name": call.name, "arguments": dict(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return turn
