"""G7 and G8: the sampler over a large vocabulary, and KV blocks gathered and scattered."""

from collections.abc import Iterator

import numpy as np
import torch

from common.kernels.blocks import block_kernels
from common.kernels.choosing import DeviceDraws, choosing
from common.kernels.reference.gumbel import draw_keys
from loadtest.gpu.ceilings import Ceilings, graphed, seconds
from loadtest.gpu.rows import Row

ROWS, VOCABULARY = 64, 128256
BLOCK_BYTES, NUM_BLOCKS, POOL_BLOCKS = 131072 * 16, 128, 2048


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    yield from _sampler(device, ceilings)
    yield from _blocks(device, ceilings)


def _sampler(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    logits = [torch.randn(ROWS, VOCABULARY, device=device).mul_(4) for _ in range(4)]  # more than the cache holds
    seeds = np.arange(ROWS, dtype=np.uint64)
    keys = torch.from_numpy(draw_keys(seeds, seeds, seeds).view(np.int32)).to(device)

    def each(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.full((ROWS,), value, dtype=dtype, device=device)

    draws = DeviceDraws(each(0.8), each(50, torch.int32), each(0.9), each(0.0), keys)
    sources, choose = torch.arange(ROWS, device=device), choosing(device).choose_tokens

    def step() -> None:
        for part in logits:
            choose(part, sources, draws)

    def sort() -> None:
        for part in logits:
            torch.sort(part, dim=1)

    time, sorting = seconds(graphed(step)) / len(logits), seconds(sort, samples=3) / len(logits)
    floor = ROWS * VOCABULARY * 4 / ceilings.read
    measured = f"{time * 1e6:.0f} us, floor {floor * 1e6:.0f} us"
    what = f"sampler, top-k 50 top-p 0.9, B={ROWS}, vocabulary {VOCABULARY}"
    yield Row("G7", f"{what}, over one pass", measured, time / floor, 4.0)
    yield Row("G7", "torch.sort over it", f"{sorting * 1e6:.0f} us", sorting / time, 10.0, most=False)


def _blocks(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    pool = torch.empty(POOL_BLOCKS, BLOCK_BYTES, dtype=torch.uint8, device=device)
    for start in range(0, POOL_BLOCKS, 256):
        pool[start : start + 256].random_(0, 255)
    staged = torch.empty(NUM_BLOCKS, BLOCK_BYTES, dtype=torch.uint8, device=device)
    order = torch.randperm(POOL_BLOCKS, device=device)
    sources, targets = order[:NUM_BLOCKS].clone(), order[NUM_BLOCKS : 2 * NUM_BLOCKS].clone()
    sums = torch.empty(NUM_BLOCKS, dtype=torch.int64, device=device)
    kernels = block_kernels(device)

    def both() -> None:
        kernels.gather_blocks(pool, sources, staged, None)
        kernels.scatter_blocks(staged, pool, targets, None)

    def summed() -> None:
        kernels.copy_blocks(pool, sources, pool, targets, sums)

    num_bytes = 2 * NUM_BLOCKS * BLOCK_BYTES
    rate = 2 * num_bytes / seconds(both)
    text = f"{rate / 1e12:.2f} of {ceilings.copy / 1e12:.2f} TB/s"
    yield Row(
        "G8", "KV gather + scatter over copy bandwidth, 2,048 tokens of 8B", text, rate / ceilings.copy, 0.85, False
    )
    rate = num_bytes / seconds(summed)
    text = f"{rate / 1e12:.2f} TB/s"
    yield Row("-", "one copy of the same with checksums", text, rate / ceilings.copy)
