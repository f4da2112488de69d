"""Many rows are cut into blocks, which members of a team go through alone: nothing of it shows in what comes out."""

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.kernels.native.library import library
from common.models.decoder import Decoder
from tests.models.loop import poisoned_pool, random_prompts
from tests.tiny import tiny_model

pytestmark = pytest.mark.skipif(library() is None, reason="no native kernels on this machine")
DECODING, LENGTHS = 21, (230, 63)


def run(decoder: Decoder, threads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden rows and the pool after one step of a decode row and two prompts."""
    first, *others = random_prompts(decoder.config.vocab_size, [DECODING + 1, *LENGTHS])
    pool = poisoned_pool(decoder, 48, 16)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        decoder.forward(Batch.pack([Span(first[:-1], 0, [0, 1])], 16), pool)
        spans = [Span(prompt, 0, list(range(base, base + 16))) for prompt, base in zip(others, (2, 18), strict=True)]
        return decoder.forward(Batch.pack([Span(first[-1:], DECODING, [0, 1]), *spans], 16), pool), pool
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral-window"])
def test_rows_are_the_same_whole_and_in_blocks(name: str, dtype: str) -> None:
    """Too many members for blocks of a good height share the weights out instead. A member that does not wait for what
    it needs is mostly lucky: hence the repetitions."""
    decoder = Decoder.load(tiny_model(name), dtype)
    whole, pool = run(decoder, threads=9)
    assert whole.isfinite().all()
    for threads in (1, *[2, 3] * 20):
        rows, same_pool = run(decoder, threads)
        assert torch.equal(rows, whole)
        torch.testing.assert_close(same_pool, pool, rtol=0, atol=0, equal_nan=True)
