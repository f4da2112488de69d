"""How decode attention is shared out among programs that stay resident, decided on the device once per step.

All KV of a batch is one line of tiles: sequence by sequence, in each KV head by KV head. Every program takes an equal
stretch of it, so no length of context leaves a processor idle, and the launch is the same for any: one CUDA graph does.
Owns the line and the counts of parts of heads that several programs share. Knows nothing of queries.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from common.kernels.batch import Batch
from common.kernels.launch import Launch, num_processors, options, power_of_two


@dataclass(frozen=True, slots=True)
class WorkList:
    """Of one batch, for layers with one window. The layers of a step use it one after the other, never two at once."""

    firsts: torch.Tensor  # [S + 1] int32: tiles of one KV head before each sequence
    starts: torch.Tensor  # [programs] int32: the sequence in which each program's stretch begins
    sizes: torch.Tensor  # [1] int32: tiles in a stretch
    arrived: torch.Tensor  # [S * kv_heads] int32: how many parts of a head are there; 0 between layers
    block_tables: torch.Tensor
    kv_lens: torch.Tensor
    window: int
    launch: Launch

    @property
    def num_programs(self) -> int:
        return len(self.starts)


@triton.jit
def tiles_of(kv_len: tl.tensor, window: tl.tensor, TILE: tl.constexpr) -> tl.tensor:
    """The first tile that the last token sees, and how many there are; an empty context has one, all hidden."""
    first = tl.where(window > 0, tl.maximum(kv_len - window, 0) // TILE, 0)
    return first, tl.maximum(tl.cdiv(kv_len, TILE) - first, 1)


@triton.jit(do_not_specialize=["num_sequences"])
def work_list_kernel(
    kv_lens: tl.tensor,
    firsts: tl.tensor,
    starts: tl.tensor,
    sizes: tl.tensor,
    num_sequences: tl.tensor,
    num_kv_heads: tl.tensor,
    num_programs: tl.tensor,
    window: tl.tensor,
    least: tl.tensor,
    SEQUENCES: tl.constexpr,
    PROGRAMS: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """One program per PROGRAMS of those that will attend; each adds up all lengths, which are few, for itself."""
    sequence = tl.arange(0, SEQUENCES)
    inside = sequence < num_sequences
    kv_len = tl.load(kv_lens + sequence, mask=inside, other=0).to(tl.int32)
    _, tiles = tiles_of(kv_len, window, TILE)
    tiles = tl.where(inside, tiles, 0)
    ends = tl.cumsum(tiles, axis=0)
    size = tl.maximum(tl.cdiv(tl.sum(tiles, axis=0) * num_kv_heads, num_programs), least)
    program = tl.program_id(0) * PROGRAMS + tl.arange(0, PROGRAMS)
    passed = (ends * num_kv_heads)[None, :] <= (program * size)[:, None]
    start = tl.sum((passed & inside[None, :]).to(tl.int32), axis=1)
    tl.store(starts + program, start, mask=program < num_programs)
    if tl.program_id(0) == 0:
        tl.store(firsts + 1 + sequence, ends, mask=inside)
        tl.store(firsts, 0)
        tl.store(sizes, size)


def make_work_list(batch: Batch, num_kv_heads: int, window: int | None, launch: Launch) -> WorkList:
    """For the batch's decode rows; reads nothing back from the device, so that a graph can hold it."""
    device = batch.kv_lens.device
    count = batch.num_decode
    num_programs = num_processors(device) * launch.resident

    def integers(size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.int32, device=device)

    work = WorkList(
        firsts=integers(count + 1),
        starts=integers(num_programs),
        sizes=integers(1),
        arrived=torch.zeros(count * num_kv_heads, dtype=torch.int32, device=device),
        block_tables=batch.block_tables[:count],
        kv_lens=batch.kv_lens[:count],
        window=window or 0,
        launch=launch,
    )
    programs = 64
    work_list_kernel[(triton.cdiv(num_programs, programs),)](
        *(work.kv_lens, work.firsts, work.starts, work.sizes, count, num_kv_heads, num_programs, work.window),
        LEAST_TILES,
        SEQUENCES=power_of_two(count),
        PROGRAMS=programs,
        TILE=launch.tile,
        **options(4),
    )
    return work


# A shorter stretch would save less reading time than joining one more part costs.
LEAST_TILES = 4
