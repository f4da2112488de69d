"""G5: a prompt of 2,048 tokens, over the time its products take at the rate of the best of them."""

from collections.abc import Iterator

import torch

from common.kernels.batch import Batch, Span
from loadtest.gpu.bench import BLOCK_TOKENS, set_up
from loadtest.gpu.ceilings import Ceilings, seconds
from loadtest.gpu.models import Cost, draw_model, large_name
from loadtest.gpu.rows import Row

TOKENS = 2048


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    name = large_name(device)
    decoder = draw_model(name, device)
    num_blocks = 2 * TOKENS // BLOCK_TOKENS
    bench = set_up(decoder, (1,), 2 * TOKENS, num_blocks)
    floor = Cost(decoder.config).prefill_operations(TOKENS) / ceilings.products
    prompt = [token % 1000 for token in range(TOKENS)]
    for id, start, must in (("G5", 0, 1.20), ("-", TOKENS, None)):
        batch = Batch.pack([Span(prompt, start, range(num_blocks))], BLOCK_TOKENS, device)
        with torch.inference_mode():
            time = seconds(lambda batch=batch: decoder.forward(batch, bench.storage.tensor))  # type: ignore[misc]
        measured = f"{time * 1e3:.1f} ms, floor {floor * 1e3:.1f} ms, {TOKENS / time:.0f} tokens/s"
        what = "prefill over FLOP floor" if not start else "the same behind a prefix of 2,048 tokens"
        yield Row(id, f"{what}, {name}, {TOKENS} tokens", measured, time / floor, must)
