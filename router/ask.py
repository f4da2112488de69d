"""What a client asked for, before anything is checked or defaulted: None is a field the client left out.

The same for every front: gRPC today, HTTP gateways later. Knows nothing of limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.types.constraint import Constraint


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """A conversation: (role, content) pairs, oldest first."""

    messages: tuple[tuple[str, str], ...]
    add_generation_prompt: bool = True


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
