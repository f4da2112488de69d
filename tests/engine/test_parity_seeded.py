"""A seeded answer is one answer: alone or in company, however chunked, resumed, pre-empted, forked or routed."""

import functools
from dataclasses import replace

import pytest

from common.types.sampling import Sampling
from tests.engine.attempts import attempt
from tests.engine.legs import Pair, decoder
from tests.models.loop import random_prompts

NAME = "qwen3"
KINDS = (
    Sampling(seed=1, max_tokens=12),
    Sampling(seed=2, temperature=0.7, top_k=30, max_tokens=12),
    Sampling(seed=3, temperature=1.4, top_p=0.9, max_tokens=9),
    Sampling(seed=4, min_p=0.02, repetition_penalty=1.2, max_tokens=12),
    Sampling(seed=5, frequency_penalty=0.6, presence_penalty=0.4, logit_bias=((7, 2.0),), max_tokens=12),
    Sampling(seed=6, min_tokens=6, stop_token_ids=tuple(range(0, 1031, 3)), max_tokens=12),
    Sampling(seed=7, temperature=0.0, repetition_penalty=1.3, max_tokens=12),
)
LENGTHS = (17, 1, 40, 25, 9, 33, 16)


@functools.cache
def prompts() -> list[list[int]]:
    return random_prompts(decoder(NAME).config.vocab_size, LENGTHS, seed=4)


@functools.cache
def alone(kind: int) -> list[int]:
    """What this request gets by itself, all of its prompt computed at once."""
    [answer] = Pair(NAME).serve(attempt("alone", prompts()[kind], sampling=KINDS[kind]))
    return answer.tokens()


def test_seeds_matter() -> None:
    sampling = Sampling(seed=1, temperature=1.5, max_tokens=12)
    seeds = [replace(sampling, seed=seed) for seed in (1, 2, -1, 1 << 40)]
    asked = [attempt(str(one.seed), prompts()[0], sampling=one) for one in seeds]
    answers = [tuple(answer.tokens()) for answer in Pair(NAME).serve(*asked)]
    assert len(set(answers)) == len(seeds)


@pytest.mark.parametrize(("block_tokens", "token_budget"), [(4, 9), (16, 20), (5, 33), (64, 512)])
def test_in_company_and_in_chunks(block_tokens: int, token_budget: int) -> None:
    pair = Pair(NAME, block_tokens, token_budget)
    asked = [attempt(f"r{kind}", prompts()[kind], sampling=KINDS[kind]) for kind in range(len(KINDS))]
    answers = pair.serve(*asked, local=[one.id for one in asked[::2]])
    assert [answer.tokens() for answer in answers] == [alone(kind) for kind in range(len(KINDS))]


def test_pre_empted() -> None:
    pair = Pair(NAME, block_tokens=4, token_budget=64, decode_blocks=17)
    asked = [attempt(f"r{kind}", prompts()[kind], sampling=KINDS[kind]) for kind in range(len(KINDS))]
    answers = pair.serve(*asked, local=[one.id for one in asked[::3]])
    assert [answer.tokens() for answer in answers] == [alone(kind) for kind in range(len(KINDS))]


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_resumed_from_what_was_delivered(kind: int) -> None:
    """As a retry of one choice, and as a tail beside a choice that starts afresh."""
    prompt, answer = prompts()[kind], alone(kind)
    for done in {1, len(answer) // 2, len(answer) - 1} - {0}:
        retried = attempt("retry", prompt + answer[:done], num_prompt_tokens=len(prompt), sampling=KINDS[kind])
        for local in ([], [retried.id]):
            [served] = Pair(NAME, block_tokens=4).serve(retried, local=local)
            assert served.tokens() == answer[done:]
            assert served.choices[0][0].index == done


def test_each_choice_is_the_same_whoever_its_siblings_are() -> None:
    sampling = Sampling(seed=9, temperature=1.2, max_tokens=10)
    for name, n in (("all", 4), ("two", 2)):
        [served] = Pair(NAME, block_tokens=4).serve(attempt(name, prompts()[3], n=n, sampling=sampling))
        every = [served.tokens(choice) for choice in range(n)]
        assert len({tuple(tokens) for tokens in every}) == n
        # a retry in which some choices were already under way: they carry tails
        tails = [tuple(tokens[:3]) for tokens in every[1:]]
        resumed = attempt(f"{name}-again", prompts()[3], n=1, tails=tails, sampling=sampling)
        for local in ([], [resumed.id]):
            [again] = Pair(NAME, block_tokens=4).serve(resumed, local=local)
            assert again.tokens(0) == every[0]
            assert [again.tokens(choice) for choice in range(1, n)] == [tokens[3:] for tokens in every[1:]]


def test_forked_choices_by_either_route_and_in_a_tiny_pool() -> None:
    sampling = Sampling(seed=11, top_p=0.95, max_tokens=11)
    asked = [attempt(f"r{place}", prompts()[place], n=3, sampling=sampling) for place in (0, 4, 6)]
    roomy = Pair(NAME, block_tokens=4)
    expected = [[answer.tokens(choice) for choice in range(3)] for answer in roomy.serve(*asked)]
    assert [answer.num_cached_blocks for answer in roomy.answers.values()] == [0, 0, 0]
    for decode_blocks, local in ((256, asked), (22, []), (22, asked), (22, asked[1:2])):
        pair = Pair(NAME, block_tokens=4, decode_blocks=decode_blocks)
        answers = pair.serve(*asked, local=[one.id for one in local])
        assert [[answer.tokens(choice) for choice in range(3)] for answer in answers] == expected
