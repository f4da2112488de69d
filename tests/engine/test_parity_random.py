"""Random deployments and mixtures of requests against each request served by itself in a roomy one."""

import functools
import random

import pytest

from common.types.attempt import Attempt
from common.types.sampling import Sampling
from tests.engine.attempts import attempt
from tests.engine.legs import Pair, decoder
from tests.models.loop import random_prompts

KINDS = (
    Sampling(temperature=0.0, max_tokens=9),
    Sampling(seed=21, temperature=0.8, max_tokens=14),
    Sampling(seed=22, top_p=0.9, repetition_penalty=1.3, logprobs=1, max_tokens=7),
    Sampling(seed=23, top_k=40, frequency_penalty=0.5, stop_token_ids=tuple(range(0, 509, 9)), max_tokens=14),
    Sampling(seed=24, min_p=0.01, prompt_logprobs=0, max_tokens=5),
)
NAMES = ("llama", "qwen2-window", "mistral")
LENGTHS = (3, 40, 17, 64, 1, 28)


@functools.cache
def request(name: str, place: int, kind: int, n: int) -> tuple[Attempt, tuple[tuple[int, ...], ...]]:
    """A request, and its answers when it is served alone."""
    prompts = random_prompts(decoder(name).config.vocab_size, LENGTHS, seed=8)
    # some share the beginning of another prompt, so that blocks are shared while both run
    prompt = prompts[3][: place * 9] + prompts[place] if place % 2 else prompts[place]
    asked = attempt(f"{place}.{kind}.{n}", prompt, n=n, sampling=KINDS[kind])
    [answer] = Pair(name).serve(asked)
    return asked, tuple(tuple(answer.tokens(choice)) for choice in range(n))


@pytest.mark.parametrize("seed", range(18))
def test_a_random_mixture(seed: int) -> None:
    generator = random.Random(seed)
    name = NAMES[seed % len(NAMES)]
    block_tokens = generator.choice((4, 7, 16, 64))
    drawn = {
        (generator.randrange(len(LENGTHS)), generator.randrange(len(KINDS)), generator.choice((1, 1, 2, 3)))
        for _ in range(generator.randrange(3, 12))
    }
    requests = [request(name, *one) for one in sorted(drawn)]
    longest = max(len(asked.token_ids) + asked.sampling.max_tokens for asked, _ in requests)
    pair = Pair(
        name,
        block_tokens,
        token_budget=generator.choice((7, 33, 150)),
        prefill_blocks=-(-longest // block_tokens) + generator.randrange(20),
        # room for the longest request with three answers, and for little else
        decode_blocks=3 * -(-longest // block_tokens) + generator.randrange(10),
    )
    served = [asked for asked, _ in requests]
    generator.shuffle(served)
    pair.serve(*served, local=[asked.id for asked in served if generator.random() < 0.4])
    for asked, expected in requests:
        answer = pair.answers[asked.id]
        assert tuple(tuple(answer.tokens(choice)) for choice in range(len(expected))) == expected, asked.id
