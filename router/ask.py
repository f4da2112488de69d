"""What a client asked for, before anything is checked or defaulted: None is a field the client left out.

The same for every front, gRPC and HTTP. Knows nothing of limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.types.constraint import Constraint


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the assistant made."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation."""

    role: str
    content: str | None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """A conversation, oldest first. `tools` are functions as JSON objects, `variables` what the template may know."""

    messages: tuple[ChatMessage, ...]
    add_generation_prompt: bool = True
    tools: tuple[Mapping[str, Any], ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)


Prompt = str | tuple[int, ...] | ChatAsk
"""Plain text, token ids taken as they are, or a conversation."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt and how to answer it."""

    prompt: Prompt | None
    model: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    num_choices: int | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    explain: bool = False
    constraint: Constraint | None = None
    shown_special_ids: frozenset[int] = frozenset()
