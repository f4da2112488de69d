"""The unit of work the router hands to workers."""

from dataclasses import dataclass

from common.types.ids import AttemptId
from common.types.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the n answers; `tail` holds tokens already delivered after the attempt's common part."""

    index: int
    tail: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a request, the same on both legs.

    `token_ids` is what all wanted choices have in common: the user's prompt and, on a retry of a single choice, the
    tokens already delivered. Tokens from `num_prompt_tokens` on are output: they count for penalties and positions.
    """

    id: AttemptId
    token_ids: tuple[int, ...]
    num_prompt_tokens: int
    choices: tuple[Choice, ...]
    sampling: Sampling
    cache_salt: bytes = b""
    traceparent: str = ""

    @property
    def fresh_choices(self) -> tuple[int, ...]:
        """Choices whose next token follows the common part directly: prefill samples it."""
        return tuple(choice.index for choice in self.choices if not choice.tail)

    @property
    def next_index(self) -> int:
        """Index, within its answer, of the token that follows the common part."""
        return len(self.token_ids) - self.num_prompt_tokens
