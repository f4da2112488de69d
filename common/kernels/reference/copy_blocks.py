"""KV blocks between a pool and a staging buffer, or within a pool; and the checksum a device can take while copying.

The checksum adds up, over the 8-byte words of a block, the product of a word's halves, each moved by a multiple of the
word's place: cheap enough to keep pace with memory, the same in any order of summing, and changed by lost, torn or
swapped words but for one chance in about four thousand million. It is no protection against anybody who means harm.
"""

import torch

FIRST_FACTOR = 0x9E3779B1
SECOND_FACTOR = 0x85EBCA6B
_LOW = 0xFFFFFFFF


def as_words(blocks: torch.Tensor) -> torch.Tensor:
    """`[n, ...]`, each block without gaps, seen as `[n, words]` int64 without a copy."""
    flat = blocks.view(torch.uint8) if blocks.element_size() == 1 else blocks
    if flat.dim() > 1 and len(flat) and not flat[0].is_contiguous():
        raise ValueError("a block must lie in one run of bytes")
    return flat.flatten(1).view(torch.int64)


def check_sums(words: torch.Tensor, places: torch.Tensor, sums: torch.Tensor | None) -> None:
    if words.shape[1] != places.shape[1]:
        raise ValueError("blocks of both sides must be of one size")
    if sums is not None and (sums.dtype != torch.int64 or not sums.is_contiguous()):
        raise ValueError("checksums are contiguous int64")


def checksums(words: torch.Tensor) -> torch.Tensor:
    """`[n, words] -> [n]`; as unsigned 64-bit numbers, kept in int64."""
    index = torch.arange(words.shape[1], device=words.device)
    low = ((words & _LOW) + (index * FIRST_FACTOR & _LOW)) & _LOW
    high = ((words >> 32 & _LOW) + (index * SECOND_FACTOR & _LOW)) & _LOW
    return (low * high).sum(dim=1)


def gather_blocks(
    pool: torch.Tensor, blocks: torch.Tensor, out: torch.Tensor, sums: torch.Tensor | None = None
) -> None:
    """`out[i] = pool[blocks[i]]`, and the checksum of each block into `sums` `[n]` int64 if given."""
    _copy(as_words(pool)[blocks], as_words(out), slice(None), sums)


def scatter_blocks(
    staged: torch.Tensor, pool: torch.Tensor, blocks: torch.Tensor, sums: torch.Tensor | None = None
) -> None:
    """`pool[blocks[i]] = staged[i]`; no block may be named twice."""
    _copy(as_words(staged), as_words(pool), blocks, sums)


def copy_blocks(
    source: torch.Tensor,
    source_blocks: torch.Tensor,
    target: torch.Tensor,
    target_blocks: torch.Tensor,
    sums: torch.Tensor | None = None,
) -> None:
    """`target[target_blocks[i]] = source[source_blocks[i]]`. No block that is written may be read or named twice."""
    _copy(as_words(source)[source_blocks], as_words(target), target_blocks, sums)


def _copy(words: torch.Tensor, target: torch.Tensor, places: torch.Tensor | slice, sums: torch.Tensor | None) -> None:
    check_sums(words, target, sums)
    target[places] = words
    if sums is not None:
        sums.copy_(checksums(words))
