"""The decoder against transformers in float32: the same tokens, and the same logits within 1e-4, for every shape."""

import functools

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.models.decoder import Decoder
from tests.models.loop import all_logits, greedy, poisoned_pool, random_prompts
from tests.tiny import NAMES, reference_greedy, reference_logits, tiny_model

LENGTHS = (1, 37, 13, 70)
NUM_TOKENS = 16


@functools.cache
def load(name: str) -> Decoder:
    return Decoder.load(tiny_model(name), "float32")


@functools.cache
def expected_greedy(name: str) -> list[list[int]]:
    prompts = random_prompts(load(name).config.vocab_size, LENGTHS)
    return [reference_greedy(tiny_model(name), prompt, NUM_TOKENS) for prompt in prompts]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("block_tokens", "chunk", "stagger"), [(16, 512, 0), (4, 7, 0), (5, 16, 3), (64, 33, 2), (16, 1, 0)]
)
def test_greedy_tokens_equal_transformers(name: str, block_tokens: int, chunk: int, stagger: int) -> None:
    prompts = random_prompts(load(name).config.vocab_size, LENGTHS)
    assert greedy(load(name), prompts, NUM_TOKENS, block_tokens, chunk, stagger) == expected_greedy(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_position_has_the_logits_of_transformers(name: str) -> None:
    [tokens] = random_prompts(load(name).config.vocab_size, [150], seed=1)
    expected = reference_logits(tiny_model(name), tokens)
    for block_tokens, chunks in ((16, [512]), (7, [17, 23, 1, 1, 40]), (32, [31])):
        got = all_logits(load(name), tokens, block_tokens, chunks)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["llama-rope3", "llama-yarn", "mistral-window", "qwen3"])
def test_logits_hold_far_into_the_context(name: str) -> None:
    [tokens] = random_prompts(load(name).config.vocab_size, [1500], seed=2)
    expected = reference_logits(tiny_model(name), tokens)
    torch.testing.assert_close(all_logits(load(name), tokens, 16, [512]), expected, rtol=0, atol=2e-4)


def test_shared_prefix_blocks_serve_several_sequences() -> None:
    """What prefix reuse and forking rely on: full blocks written by one sequence are read by another."""
    decoder = load("qwen2")
    first, second = random_prompts(decoder.config.vocab_size, [13, 9], seed=3)
    common = first[:8]
    pool = poisoned_pool(decoder, 8, 4)
    decoder.forward(Batch.pack([Span(first, 0, [3, 5, 0, 1])], 4), pool)
    hidden = decoder.forward(Batch.pack([Span(second, 8, [3, 5, 7, 2, 6])], 4), pool)
    expected = reference_logits(tiny_model("qwen2"), common + second)[8:]
    torch.testing.assert_close(decoder.logits(hidden), expected, rtol=0, atol=1e-4)


def test_a_pass_writes_only_its_own_slots() -> None:
    decoder = load("llama")
    pool = poisoned_pool(decoder, 6, 4)
    decoder.forward(Batch.pack([Span([1], 0, [5]), Span([2, 3, 4, 5, 6], 0, [2, 0])], 4), pool)
    written = ~pool.isnan().flatten(3).any(-1).all(-1).all(-1)
    assert written.tolist() == [False, False, True, False, False, False]
    slots = ~pool.isnan().all(dim=(1, 2, 3, 5))
    assert slots.nonzero().tolist() == [[0, 0], [2, 0], [2, 1], [2, 2], [2, 3], [5, 0]]


def test_layout_describes_the_pool() -> None:
    layout = load("qwen3").layout(16, "fingerprint")
    assert layout.block_shape == (3, 2, 2, 16, 40)
    assert (layout.model, layout.dtype) == ("fingerprint", "float32")
