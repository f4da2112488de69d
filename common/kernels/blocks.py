"""Which implementation copies KV blocks and sums them up on a device; the reference where Triton is not installed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch

from common.kernels.reference import copy_blocks as reference

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class BlockKernels:
    """What each does is said where its reference stands."""

    gather_blocks: Callable[[Tensor, Tensor, Tensor, Tensor | None], None]
    scatter_blocks: Callable[[Tensor, Tensor, Tensor, Tensor | None], None]
    copy_blocks: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], None]


_REFERENCE = BlockKernels(reference.gather_blocks, reference.scatter_blocks, reference.copy_blocks)


@cache
def block_kernels(device: torch.device) -> BlockKernels:
    if device.type != "cuda" or find_spec("triton") is None:
        return _REFERENCE
    from common.kernels import copy_blocks as triton_kernels

    return BlockKernels(triton_kernels.gather_blocks, triton_kernels.scatter_blocks, triton_kernels.copy_blocks)


def block_checksums(pool: Tensor, blocks: Tensor) -> Tensor:
    """[n] int64: the device's checksum of each of these blocks, bit for bit an unsigned 64-bit number."""
    sums = torch.empty(len(blocks), dtype=torch.int64, device=pool.device)
    if pool.device.type != "cuda":
        sums.copy_(reference.checksums(reference.as_words(pool)[blocks]))
    elif len(blocks):
        # onto itself: a block is read, summed and written back unchanged, without memory to put it
        block_kernels(pool.device).copy_blocks(pool, blocks, pool, blocks, sums)
    return sums
