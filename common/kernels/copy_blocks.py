"""KV blocks between a pool and a staging buffer, or within a pool, with a checksum on the way if wanted.

A block is any run of bytes: a whole one, or a range of its layers. Knows nothing of what the bytes mean.
"""

import torch
import triton
import triton.language as tl

from common.kernels.launch import launch_of
from common.kernels.reference.copy_blocks import FIRST_FACTOR, SECOND_FACTOR, as_words, check_sums

_FIRST: tl.constexpr = tl.constexpr(FIRST_FACTOR)
_SECOND: tl.constexpr = tl.constexpr(SECOND_FACTOR)


@triton.jit
def copy_blocks_kernel(
    source: tl.tensor,
    source_blocks: tl.tensor,
    source_stride: tl.tensor,
    target: tl.tensor,
    target_blocks: tl.tensor,
    target_stride: tl.tensor,
    sums: tl.tensor,
    num_words: tl.tensor,
    SOURCE_LISTED: tl.constexpr,
    TARGET_LISTED: tl.constexpr,
    SUM: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """Words are 8 bytes. The programs of a column share one block and step through it together."""
    place = tl.program_id(0).to(tl.int64)
    begin, end = place, place
    if SOURCE_LISTED:
        begin = tl.load(source_blocks + place).to(tl.int64)
    if TARGET_LISTED:
        end = tl.load(target_blocks + place).to(tl.int64)
    first = tl.program_id(1).to(tl.int64) * TILE
    total = tl.zeros([TILE], tl.uint64)
    for start in range(first, num_words, tl.num_programs(1) * TILE):
        words = start + tl.arange(0, TILE)
        inside = words < num_words
        content = tl.load(source + begin * source_stride + words, mask=inside, other=0)
        tl.store(target + end * target_stride + words, content, mask=inside)
        if SUM:
            index = words.to(tl.uint32)
            low = content.to(tl.uint32) + index * _FIRST
            high = (content >> 32).to(tl.uint32) + index * _SECOND
            total += tl.where(inside, low.to(tl.uint64) * high.to(tl.uint64), 0)
    if SUM:
        tl.atomic_add(sums + place, tl.sum(total, axis=0).to(tl.int64, bitcast=True), sem="relaxed")


def gather_blocks(
    pool: torch.Tensor, blocks: torch.Tensor, out: torch.Tensor, sums: torch.Tensor | None = None
) -> None:
    """`out[i] = pool[blocks[i]]`, and the checksum of each block into `sums` `[n]` int64 if given."""
    _copy(pool, blocks, out, None, len(blocks), sums)


def scatter_blocks(
    staged: torch.Tensor, pool: torch.Tensor, blocks: torch.Tensor, sums: torch.Tensor | None = None
) -> None:
    """`pool[blocks[i]] = staged[i]`; no block may be named twice."""
    _copy(staged, None, pool, blocks, len(blocks), sums)


def copy_blocks(
    source: torch.Tensor,
    source_blocks: torch.Tensor,
    target: torch.Tensor,
    target_blocks: torch.Tensor,
    sums: torch.Tensor | None = None,
) -> None:
    """`target[target_blocks[i]] = source[source_blocks[i]]`: within one pool, or out of a peer's mapped one.

    No block that is written may be read or named twice.
    """
    _copy(source, source_blocks, target, target_blocks, len(source_blocks), sums)


def _copy(
    source: torch.Tensor,
    source_blocks: torch.Tensor | None,
    target: torch.Tensor,
    target_blocks: torch.Tensor | None,
    count: int,
    sums: torch.Tensor | None,
) -> None:
    words, places = as_words(source), as_words(target)
    check_sums(words, places, sums)
    for blocks in (source_blocks, target_blocks):
        if blocks is not None and (blocks.stride(0) != 1 or len(blocks) != count):
            raise ValueError("the lists of blocks must be contiguous and of one length")
    if not count:
        return
    if sums is not None:
        sums.zero_()
    launch = launch_of("copy_blocks", target.device)
    tiles = triton.cdiv(words.shape[1], launch.tile)
    anything = target_blocks if source_blocks is None else source_blocks
    copy_blocks_kernel[(count, min(tiles, 64))](
        *(words, anything if source_blocks is None else source_blocks, words.stride(0)),
        *(places, anything if target_blocks is None else target_blocks, places.stride(0)),
        *(words if sums is None else sums, words.shape[1]),
        SOURCE_LISTED=source_blocks is not None,
        TARGET_LISTED=target_blocks is not None,
        SUM=sums is not None,
        TILE=launch.tile,
        **launch.options,
    )
