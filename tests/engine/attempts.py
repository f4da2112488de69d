"""Short ways to write attempts down."""

from collections.abc import Sequence

from common.engine.limits import Limits
from common.engine.tables import BlockTables
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling

KEY = b"k" * 32


def attempt(
    name: str,
    token_ids: Sequence[int],
    *,
    number: int = 1,
    num_prompt_tokens: int | None = None,
    n: int = 1,
    tails: Sequence[tuple[int, ...]] = (),
    sampling: Sampling | None = None,
    salt: bytes = b"",
) -> Attempt:
    """`n` fresh choices, then one more for each tail."""
    choices = [Choice(index) for index in range(n)]
    choices += [Choice(n + place, tuple(tail)) for place, tail in enumerate(tails)]
    return Attempt(
        AttemptId(name, number),
        tuple(token_ids),
        len(token_ids) if num_prompt_tokens is None else num_prompt_tokens,
        tuple(choices),
        sampling or Sampling(max_tokens=4),
        salt,
    )


def tables(num_blocks: int, block_tokens: int = 4) -> BlockTables:
    return BlockTables.create(num_blocks, block_tokens, KEY, "model")


def limits(token_budget: int = 16, max_sequences: int = 8, max_model_tokens: int = 1000) -> Limits:
    return Limits(token_budget, max_sequences, max_model_tokens)
