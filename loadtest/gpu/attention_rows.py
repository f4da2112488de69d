"""G3 and G4: paged decode attention alone, over the bandwidth that reading has on this device."""

import random
from collections.abc import Callable, Iterator

import torch

from common.kernels.batch import Batch
from common.kernels.launch import refusals
from common.kernels.table import kernels_for
from loadtest.gpu.ceilings import Ceilings, graphed, seconds
from loadtest.gpu.rows import Row

HEADS, KV_HEADS, HEAD_DIM, BLOCK_TOKENS, ROWS = 32, 8, 128, 16, 64
NUM_LAYERS = 4
"""Pools that are read in turn: one alone could stay in the cache."""
FP8 = torch.float8_e4m3fn


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    failures: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError, *refusals())
    ragged = [random.Random(5).randrange(128, 4097) for _ in range(ROWS)]
    cases = (
        ("G3", "bf16, B=64 L=2048", torch.bfloat16, [2048] * ROWS, 0.88),
        ("G3", "bf16, B=64 ragged 128..4096", torch.bfloat16, ragged, 0.80),
        ("G4", "fp8 KV, B=64 L=2048", FP8, [2048] * ROWS, 0.80),
    )
    for id, what, dtype, lengths, must in cases:
        try:
            share, text = _share(device, ceilings, dtype, lengths)
        except failures as error:
            yield Row(id, f"paged decode attention over read bandwidth, {what}", failed=_first_line(error))
        else:
            yield Row(id, f"paged decode attention over read bandwidth, {what}", text, share, must, most=False)


def _share(device: torch.device, ceilings: Ceilings, dtype: torch.dtype, lengths: list[int]) -> tuple[float, str]:
    time = seconds(graphed(attention_case(device, dtype, lengths))) / NUM_LAYERS
    rate = sum(lengths) * 2 * KV_HEADS * HEAD_DIM * dtype.itemsize / time
    return rate / ceilings.read, f"{time * 1e6:.0f} us, {rate / 1e12:.2f} of {ceilings.read / 1e12:.2f} TB/s"


def attention_case(device: torch.device, dtype: torch.dtype, lengths: list[int]) -> Callable[[], None]:
    """Attention of one token per sequence, NUM_LAYERS times; blocks lie in no order."""
    kernels = kernels_for(device)
    widths = [-(-length // BLOCK_TOKENS) for length in lengths]
    num_blocks = sum(widths)
    order = torch.randperm(num_blocks)
    tables = torch.zeros(ROWS, max(widths), dtype=torch.int64)
    place = 0
    for row, width in enumerate(widths):
        tables[row, :width] = order[place : place + width]
        place += width
    lens, nothing = torch.tensor(lengths), torch.zeros(ROWS, dtype=torch.int64, device=device)
    batch = Batch(
        token_ids=nothing,
        positions=(lens - 1).to(device),
        slot_blocks=nothing,
        slot_offsets=nothing,
        query_starts=torch.arange(ROWS + 1, device=device),
        kv_lens=lens.to(device),
        block_tables=tables.to(device),
        q_lens=(1,) * ROWS,
        host_kv_lens=tuple(lengths),
        num_decode=ROWS,
    )
    shape = num_blocks, 2, KV_HEADS, BLOCK_TOKENS, HEAD_DIM
    caches = [torch.empty(shape, dtype=torch.bfloat16, device=device).normal_().to(dtype) for _ in range(NUM_LAYERS)]
    query = torch.randn(ROWS, HEADS, HEAD_DIM, dtype=torch.bfloat16, device=device)
    reach = kernels.find_reach(batch, caches[0], None)

    def layers() -> None:
        for cache in caches:
            kernels.paged_attention(query, cache, reach, HEAD_DIM**-0.5, None)

    return layers


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
