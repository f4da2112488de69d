"""What the native pass keeps from step to step: pointers while they are good, logits where it was asked to."""

import gc
import weakref

import pytest
import torch

from common.engine.batch import Batcher
from common.engine.plan import Work
from common.kernels.batch import Batch, Span
from common.kernels.native.library import library
from common.models.decoder import Decoder
from tests.models.loop import poisoned_pool, random_prompts
from tests.tiny import reference_logits, tiny_model

pytestmark = pytest.mark.skipif(library() is None, reason="no native kernels on this machine")
BLOCK = 8


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder.load(tiny_model("qwen2"), "float32")


def last(decoder: Decoder, pool: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    blocks = range(-(-len(tokens) // BLOCK))
    return decoder.forward(Batch.pack([Span(tokens, 0, list(blocks))], BLOCK), pool)[-1:]


def test_ranked_logits_are_in_the_same_memory_and_plain_ones_are_their_owners(decoder: Decoder) -> None:
    one, other = random_prompts(decoder.config.vocab_size, [9, 9])
    pool = poisoned_pool(decoder, 4, BLOCK)
    rows = last(decoder, pool, one), last(decoder, pool, other)
    kept = [decoder.logits(row) for row in rows]
    first = decoder.ranked(rows[0])
    assert torch.equal(first.values, kept[0])
    assert first.best.tolist() == kept[0].argmax(1).tolist()
    second = decoder.ranked(rows[1])
    assert second.values.data_ptr() == first.values.data_ptr()
    assert torch.equal(second.values, kept[1])
    assert not torch.equal(kept[0], kept[1])
    assert len(decoder.ranked(torch.cat(rows)).best) == 2


def test_steps_that_move_on_in_place_follow_their_pool(decoder: Decoder) -> None:
    """The same batch object's tensors, another pool: the pointers of the one before are not used."""
    [tokens] = random_prompts(decoder.config.vocab_size, [30], seed=4)
    expected = reference_logits(tiny_model("qwen2"), tokens)
    batcher = Batcher(BLOCK)
    pool = poisoned_pool(decoder, 4, BLOCK)
    last(decoder, pool, tokens[:20])
    for place in range(20, 30):
        pool = pool.clone()
        batch = batcher.pack([Work(1, (tokens[place],), place, [0, 1, 2, 3])], 1)
        hidden = decoder.forward(batch, pool)
        torch.testing.assert_close(decoder.logits(hidden)[0], expected[place], rtol=0, atol=1e-4)


def test_a_pool_is_not_kept_from_being_given_back(decoder: Decoder) -> None:
    pool = poisoned_pool(decoder, 4, BLOCK)
    last(decoder, pool, [1, 2, 3])
    kept = weakref.ref(pool)
    del pool
    gc.collect()
    assert kept() is None


def test_a_pool_of_another_type_is_refused_after_a_good_one(decoder: Decoder) -> None:
    pool = poisoned_pool(decoder, 4, BLOCK)
    last(decoder, pool, [1, 2, 3])
    with pytest.raises(ValueError, match="another dtype"):
        last(decoder, pool.bfloat16(), [1, 2, 3])
    assert last(decoder, pool, [1, 2, 3]).isfinite().all()
