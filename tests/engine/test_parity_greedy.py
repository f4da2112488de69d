"""End to end without a network: whatever the way, the greedy tokens are those of transformers."""

import pytest

from common.types.sampling import Sampling
from tests.engine.attempts import attempt
from tests.engine.legs import Pair, decoder
from tests.models.loop import random_prompts
from tests.tiny import NAMES, reference_greedy, tiny_model

NUM_TOKENS = 10
LENGTHS = (1, 47, 16, 33, 8)


def greedy(name: str, prompt: list[int], num_tokens: int = NUM_TOKENS) -> list[int]:
    return reference_greedy(tiny_model(name), prompt, num_tokens)


SAMPLING = Sampling(temperature=0.0, max_tokens=NUM_TOKENS)

# one block at a time, awkward, wide; every model meets every route
WAYS = [(4, 4), (16, 24), (64, 512)]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_by_every_route(name: str) -> None:
    prompts = random_prompts(decoder(name).config.vocab_size, LENGTHS)
    expected = [greedy(name, prompt) for prompt in prompts]
    for block_tokens, token_budget in WAYS:
        pair = Pair(name, block_tokens, token_budget)
        asked = [attempt(f"r{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts)]
        answers = pair.serve(*asked, local=[asked[1].id, asked[4].id])
        assert [answer.tokens() for answer in answers] == expected
