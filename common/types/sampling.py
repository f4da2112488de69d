"""How tokens are chosen, and what choosing one yields."""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from common.types.constraint import Constraint


class FinishReason(Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Everything the sampler needs to know, every default resolved by the router.

    A sample is a function of (logits, this, choice, index of the token in its answer); nothing else may enter, so that
    a retried, migrated or differently batched request gets the same tokens.
    """

    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    max_tokens: int = 16
    min_tokens: int = 0
    stop_token_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    constraint: Constraint | None = None
    plain: bool = field(init=False, repr=False, compare=False)
    """Whether every token is simply the best one and nothing else is asked of it; known once, for it is asked often."""
    bound: bool = field(init=False, repr=False, compare=False)
    """Whether a constraint is all that a token is chosen by: as it stands, the logits are wanted for nothing else."""

    def __post_init__(self) -> None:
        alone = self.logprobs is None and not (self.logit_bias or self.penalised)
        object.__setattr__(self, "plain", alone and self.greedy and self.constraint is None and not self.min_tokens)
        object.__setattr__(self, "bound", alone and self.constraint is not None)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def penalised(self) -> bool:
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Natural log probability of a token before temperature and penalties, with the best alternatives."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class SampledToken(NamedTuple):
    """One token of one choice; `index` counts from 0 at the first token after the user's prompt.

    A tuple, because the router makes one for every token that it carries.
    """

    choice: int
    index: int  # type: ignore[assignment]  # hides a method of tuples that nobody calls
    token_id: int
    logprobs: TokenLogprobs | None = None
    finish: FinishReason | None = None
