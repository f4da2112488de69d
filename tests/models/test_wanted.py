"""Rows that nobody asks for are left out of the last layer, and everything else stays bit for bit what it was."""

from dataclasses import replace

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.models.decoder import Decoder
from tests.models.loop import poisoned_pool, random_prompts
from tests.tiny import tiny_model

DECODING, CHUNK = 37, 150


def run(decoder: Decoder, wanted: list[int] | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden rows and the pool after a decode row and two chunks, one of them behind a prefix."""
    first, second, third = random_prompts(decoder.config.vocab_size, [DECODING + 1, CHUNK, CHUNK])
    pool = poisoned_pool(decoder, 64, 16)
    blocks = [list(range(base, base + 20)) for base in (0, 20, 40)]
    decoder.forward(Batch.pack([Span(first[:-1], 0, blocks[0]), Span(second[:70], 0, blocks[1])], 16), pool)
    spans = [Span(first[-1:], DECODING, blocks[0]), Span(second[70:], 70, blocks[1]), Span(third, 0, blocks[2])]
    batch = Batch.pack(spans, 16)
    rows = None if wanted is None else torch.tensor(wanted, dtype=torch.int64)
    return decoder.forward(replace(batch, wanted=rows), pool), pool


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral-window"])
def test_wanted_rows_are_what_they_are_among_all(name: str, dtype: str) -> None:
    decoder = Decoder.load(tiny_model(name), dtype)
    hidden, pool = run(decoder, None)
    num_rows = 1 + CHUNK - 70 + CHUNK
    assert len(hidden) == num_rows
    for wanted in ([], [0], [80, num_rows - 1], [0, 5, 6, 80, 81, 200], [num_rows - 1], list(range(num_rows))):
        some, same_pool = run(decoder, wanted)
        assert torch.equal(some, hidden[wanted])
        torch.testing.assert_close(same_pool, pool, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("wanted", [[-1], [5, 5], [6, 5], [500]])
def test_rows_that_are_not_there_or_not_in_order_are_refused(wanted: list[int]) -> None:
    decoder = Decoder.load(tiny_model("llama"), "float32")
    if decoder._native is None:
        pytest.skip("torch indexes for itself")
    with pytest.raises(IndexError):
        run(decoder, wanted)
