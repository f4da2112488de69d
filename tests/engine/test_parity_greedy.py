"""End to end without a network: whatever the way, the greedy tokens are those of transformers."""

import functools

import pytest

from common.types.sampling import FinishReason, Sampling
from tests.engine.attempts import attempt
from tests.engine.legs import Answer, Pair, decoder
from tests.models.loop import random_prompts
from tests.tiny import NAMES, reference_greedy, tiny_model

NUM_TOKENS = 10
SAMPLING = Sampling(temperature=0.0, max_tokens=NUM_TOKENS)


@functools.cache
def expected(name: str, lengths: tuple[int, ...], seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts, and what transformers says to each."""
    prompts = random_prompts(decoder(name).config.vocab_size, lengths, seed)
    return prompts, [reference_greedy(tiny_model(name), prompt, NUM_TOKENS) for prompt in prompts]


def tokens(answers: list[Answer]) -> list[list[int]]:
    return [answer.tokens() for answer in answers]


@pytest.mark.parametrize(("block_tokens", "token_budget"), [(4, 5), (16, 24), (64, 512)])
@pytest.mark.parametrize("name", NAMES)
def test_every_model_by_every_route(name: str, block_tokens: int, token_budget: int) -> None:
    prompts, answers = expected(name, (1, 47, 16, 33, 8))
    pair = Pair(name, block_tokens, token_budget)
    asked = [attempt(f"r{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts)]
    assert tokens(pair.serve(*asked, local=[asked[1].id, asked[4].id])) == answers


@pytest.mark.parametrize("num", [1, 2, 7, 32])
def test_batches_of_mixed_lengths(num: int) -> None:
    prompts, answers = expected("qwen3", tuple(1 + 11 * place % 73 for place in range(32)))
    pair = Pair("qwen3", block_tokens=8, token_budget=40)
    asked = [attempt(f"r{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts[:num])]
    local = [one.id for one in asked[::3]]
    assert tokens(pair.serve(*asked, local=local)) == answers[:num]
    assert pair.decode.num_steps < num * NUM_TOKENS + 20


@pytest.mark.parametrize("chunk", [4, 5, 8, 33, 128])
def test_chunks_from_one_block_up(chunk: int) -> None:
    prompts, answers = expected("mistral-window", (70, 31, 4))
    pair = Pair("mistral-window", block_tokens=4, token_budget=chunk)
    asked = [attempt(f"r{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts)]
    assert tokens(pair.serve(*asked, local=[asked[2].id])) == answers
    assert pair.prefill.num_steps >= -(-101 // chunk)


@pytest.mark.parametrize("block_tokens", [4, 16])
def test_prefix_hits_on_both_legs_change_nothing(block_tokens: int) -> None:
    prompts, answers = expected("llama-3to1", (50, 64))
    pair = Pair("llama-3to1", block_tokens)
    for round in range(3):
        asked = [attempt(f"{round}.{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts)]
        served = pair.serve(*asked, local=[asked[1].id] if round == 2 else [])
        assert tokens(served) == answers
        # the last token is always computed where it is sampled; what is fetched can be cached to its last full block
        hits = [49 // block_tokens * block_tokens, 63 // block_tokens * block_tokens] if round else [0, 0]
        assert [answer.num_cached_tokens for answer in served] == hits
        cached = [50 // block_tokens, 64 // block_tokens if round < 2 else 0] if round else [0, 0]
        assert [answer.num_cached_blocks for answer in served] == cached
    strange = pair.serve(attempt("salted", prompts[0], sampling=SAMPLING, salt=b"another tenant"))
    assert tokens(strange) == [answers[0]]
    assert strange[0].num_cached_tokens == strange[0].num_cached_blocks == 0


def test_a_prefix_shared_while_both_still_run() -> None:
    """The second prompt begins like the first and takes its blocks as they are published."""
    [prompt], [answer] = expected("qwen2", (60,))
    other = [*prompt[:45], 5, 6, 7]
    pair = Pair("qwen2", block_tokens=8, token_budget=16)
    asked = [attempt(name, ids, sampling=SAMPLING) for name, ids in (("a", prompt), ("b", other), ("c", prompt))]
    assert tokens(pair.serve(*asked)) == [answer, reference_greedy(tiny_model("qwen2"), other, NUM_TOKENS), answer]


def test_pre_emption_in_a_tiny_pool() -> None:
    prompts, answers = expected("llama", (20, 9, 30, 17, 25, 12))
    pair = Pair("llama", block_tokens=4, token_budget=32, decode_blocks=14)
    asked = [attempt(f"r{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts)]
    assert tokens(pair.serve(*asked, local=[one.id for one in asked[::2]])) == answers
    roomy = Pair("llama", block_tokens=4, token_budget=32)
    roomy.serve(*asked)
    assert pair.decode.num_steps > roomy.decode.num_steps


def test_a_retry_goes_on_where_the_answer_stopped() -> None:
    prompts, answers = expected("qwen3-8to1", (21, 34))
    pair = Pair("qwen3-8to1", block_tokens=8)
    for done in (1, 4, 9):
        asked = [
            attempt(f"{done}.{place}", prompt + answer[:done], num_prompt_tokens=len(prompt), sampling=SAMPLING)
            for place, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]
        served = pair.serve(*asked, local=[asked[0].id])
        assert tokens(served) == [answer[done:] for answer in answers]
        assert served[0].choices[0][0].index == done


def test_tails_are_computed_again_on_decode() -> None:
    [prompt], [answer] = expected("llama-rope3", (19,))
    tails = [tuple(answer[:length]) for length in (1, 6, 9)]
    for local in (False, True):
        one = attempt(f"{local}", prompt, n=1, tails=tails, sampling=SAMPLING)
        [served] = Pair("llama-rope3", block_tokens=4).serve(one, local=[one.id] if local else [])
        assert served.tokens(0) == answer
        assert [served.tokens(1 + place) for place in range(3)] == [answer[len(tail) :] for tail in tails]


def test_a_stop_token_ends_the_answer_and_is_part_of_it() -> None:
    [prompt], [answer] = expected("llama", (15,))
    place = next(place for place in range(2, NUM_TOKENS) if answer[place] not in answer[:place])
    stopping = Sampling(temperature=0.0, max_tokens=NUM_TOKENS, stop_token_ids=(answer[place],))
    [served] = Pair().serve(attempt("a", prompt, sampling=stopping))
    assert served.tokens() == answer[: place + 1]
    assert [token.finish for token in served.choices[0]] == [None] * place + [FinishReason.STOP]
    [served] = Pair().serve(attempt("b", prompt, sampling=Sampling(temperature=0.0, max_tokens=1)))
    assert served.tokens() == answer[:1]
    assert served.choices[0][0].finish is FinishReason.LENGTH


def test_an_attempt_with_nothing_to_choose_fails_alone() -> None:
    prompts, answers = expected("llama", (11, 23))
    hopeless = Sampling(temperature=0.0, max_tokens=9, min_tokens=5, stop_token_ids=tuple(range(509)))
    for local in (False, True):
        asked = [attempt(f"r{place}", prompt, sampling=SAMPLING) for place, prompt in enumerate(prompts)]
        bad = attempt("bad", prompts[0], sampling=hopeless)
        served = Pair().serve(*asked, bad, local=[bad.id] if local else [])
        assert tokens(served[:2]) == answers
        assert served[2].refused is not None
        assert not served[2].choices
