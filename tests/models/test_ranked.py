"""The pass and its logits in one call are what they are in two, bit for bit, with native kernels and without."""

from dataclasses import replace

import pytest
import torch

from common.kernels.batch import Batch, Span
from common.models.decoder import Decoder
from tests.models.loop import poisoned_pool, random_prompts
from tests.tiny import tiny_model

BLOCK = 16


def batch_of(decoder: Decoder, lengths: list[int], wanted: list[int] | None) -> Batch:
    """Chunks that begin their sequences, each in blocks of its own."""
    prompts = random_prompts(decoder.config.vocab_size, lengths)
    spans = [Span(tokens, 0, list(range(8 * at, 8 * at + 8))) for at, tokens in enumerate(prompts)]
    batch = Batch.pack(spans, BLOCK)
    return batch if wanted is None else replace(batch, wanted=torch.tensor(wanted, dtype=torch.int64))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("native", [True, False])
def test_one_call_finds_what_two_do(native: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setattr("common.models.decoder.native_library", lambda device: None)
    decoder = Decoder.load(tiny_model("qwen3"), dtype)
    for lengths, wanted in (([1], None), ([40, 9], [39, 48]), ([1], None), ([70], [69]), ([3, 4, 5], None)):
        batch = batch_of(decoder, lengths, wanted)
        first, second = (poisoned_pool(decoder, 24, BLOCK) for _ in range(2))
        apart = decoder.ranked(decoder.forward(batch, first))
        values, best, peaks = apart.values.clone(), apart.best.tolist(), apart.peaks.tolist()
        if decoder._native is not None:  # in memory that is used again
            apart.values.fill_(float("nan"))
            apart.best.fill(-1)
            apart.peaks.fill(float("nan"))
        together = decoder.forward_ranked(batch, second)
        assert torch.equal(together.values, values)
        assert (together.values.data_ptr() == apart.values.data_ptr()) is (decoder._native is not None)
        assert (together.best.tolist(), together.peaks.tolist()) == (best, peaks)
        torch.testing.assert_close(second, first, rtol=0, atol=0, equal_nan=True)


def test_a_batch_that_is_refused_has_no_logits() -> None:
    decoder = Decoder.load(tiny_model("llama"), "float32")
    if decoder._native is None:
        pytest.skip("torch indexes for itself")
    with pytest.raises(IndexError):
        decoder.forward_ranked(batch_of(decoder, [3], [7]), poisoned_pool(decoder, 24, BLOCK))
