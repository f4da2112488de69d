"""How much one engine takes on, and which attempts can never be served by it."""

from dataclasses import dataclass, replace
from math import inf

from common.types.attempt import Attempt
from common.types.errors import InvalidRequest, StartupError, invalid


@dataclass(frozen=True, slots=True)
class Limits:
    """Fixed for the life of an engine. `max_model_tokens` counts prompt and answer together.

    A step computes at most `token_budget` tokens; a full batch must leave some of them to prompts. A runner that works
    `num_ahead` steps ahead of what it was asked for gets tables that reach so many tokens further, where there is room;
    one that `goes_further` understands plans that say no more than that.
    `tpot_goal_s` is what the tokens of an answer should at most be apart: prompts computed beside it are cut to fit.
    """

    token_budget: int
    max_sequences: int
    max_model_tokens: int
    num_ahead: int = 0
    tpot_goal_s: float = inf
    goes_further: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_sequences < self.token_budget:
            raise StartupError(
                f"a step of {self.token_budget} tokens has no room for prompts beside {self.max_sequences} sequences",
                "Raise token_budget above max_sequences",
            )

    def within(self, num_slots: int) -> "Limits":
        """The same, with no sequence longer than the whole pool: alone, every sequence must be able to finish."""
        return replace(self, max_model_tokens=min(self.max_model_tokens, num_slots))

    def refusal(self, attempt: Attempt) -> InvalidRequest | None:
        """Why this attempt could not be served even by an idle engine."""
        if not attempt.token_ids:
            return invalid("prompt", "is empty")
        if not attempt.choices or len(attempt.choices) > self.max_sequences:
            return invalid("n", f"{len(attempt.choices)} answers asked, 1 to {self.max_sequences} can run together")
        if len({choice.index for choice in attempt.choices}) < len(attempt.choices):
            return invalid("choices", "name one answer twice")
        longest = len(attempt.token_ids) + max(len(choice.tail) for choice in attempt.choices)
        if longest >= self.max_model_tokens:
            return invalid(
                "prompt",
                f"{longest} tokens leave no room for an answer: prompt and answer share {self.max_model_tokens}",
            )
        return None
