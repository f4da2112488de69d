"""Short ways to write attempts down."""

from collections.abc import Sequence
from random import Random

from common.engine.limits import Limits
from common.engine.tables import BlockTables
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling

KEY = b"k" * 32
LONG = Sampling(max_tokens=30)
STEMS = ((1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 9, 9, 9, 9, 8, 8, 8, 8), (5,))


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


def random_attempt(random: Random, number: int) -> Attempt:
    """Prompts that often share their beginning, with every kind of choice."""
    stem = random.choice(STEMS)
    token_ids = stem + tuple(random.randrange(10) for _ in range(random.randrange(24)))
    num_prompt = random.randint(1, len(token_ids)) if random.random() < 0.3 else len(token_ids)
    choices = tuple(
        Choice(index, tuple(random.randrange(10) for _ in range(random.randrange(12))) if random.random() < 0.3 else ())
        for index in range(random.choice((1, 1, 1, 2, 3)))
    )
    longest = len(token_ids) - num_prompt + max(len(choice.tail) for choice in choices)
    sampling = Sampling(
        seed=random.randrange(3),
        max_tokens=longest + random.randint(1, 20),
        min_tokens=random.choice((0, 4)),
        stop_token_ids=(random.randrange(50),) if random.random() < 0.5 else (),
        prompt_logprobs=2 if random.random() < 0.2 else None,
    )
    id = AttemptId(f"r{number // 2}", number)
    return Attempt(id, token_ids, num_prompt, choices, sampling, random.choice((b"", b"", b"tenant")))
