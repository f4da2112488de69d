"""What each query of a batch can see: gather indices and masks, made once per step and shared by all layers.

Owns positions and windows. Knows nothing of a layer's content.
"""

from dataclasses import dataclass

import torch

from common.kernels.batch import Batch
from common.kernels.reference.fp8 import FP8


@dataclass(frozen=True, slots=True)
class DecodeGroup:
    """Decode rows with contexts of similar length, attended to by one batched op.

    `hidden` lists the gathered token rows that no query may see: they hold whatever the pool held before.
    """

    rows: torch.Tensor | slice
    gather: torch.Tensor  # [rows * kv_heads * blocks] int64
    mask: torch.Tensor | None  # [rows, 1, 1, tokens], 0 or -inf
    hidden: torch.Tensor | None  # [any] int64, into [rows * kv_heads * tokens]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Several tokens of one sequence; `mask` is None where plain causal attention says the same."""

    rows: slice
    gather: torch.Tensor  # [kv_heads * blocks] int64
    num_tokens: int
    mask: torch.Tensor | None  # [queries, tokens], 0 or -inf


@dataclass(frozen=True, slots=True)
class Reach:
    """All of a batch, for layers with one window. Gather indices count heads of blocks (see `head_rows`)."""

    groups: tuple[DecodeGroup, ...]
    chunks: tuple[Chunk, ...]


def find_reach(batch: Batch, cache: torch.Tensor, window: int | None) -> Reach:
    """`cache` is any layer of the pool, `[blocks, 2, kv_heads, block_tokens, D]`; only its shape and dtype are read."""
    buckets: dict[int, list[int]] = {}
    block_tokens = cache.shape[3]
    for row, kv_len in enumerate(batch.host_kv_lens[: batch.num_decode]):
        num_blocks = -(-kv_len // block_tokens) - _first_block(kv_len, window, block_tokens)
        # contexts in one group differ less than twofold, so less than half of a gather is padding
        buckets.setdefault((num_blocks - 1).bit_length(), []).append(row)
    groups = tuple(_decode_group(batch, rows, cache, window) for rows in buckets.values())
    chunks = []
    start = batch.num_decode
    for row in range(batch.num_decode, batch.num_sequences):
        chunks.append(_chunk(batch, row, start, cache, window))
        start += batch.q_lens[row]
    return Reach(groups, tuple(chunks))


def head_rows(cache: torch.Tensor) -> torch.Tensor:
    """Keys or values `[blocks, kv_heads, block_tokens, D]` seen as rows, one head of one block each, without a copy.

    Row `block * stride + head` is that head's tokens in that block; gathering such rows is a few large copies.
    """
    num_blocks, num_kv_heads, block_tokens, head_dim = cache.shape
    size = block_tokens * head_dim
    stride = cache.stride(0) // size
    return cache.as_strided(((num_blocks - 1) * stride + num_kv_heads, size), (size, 1))


def _gather_rows(blocks: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
    """`[S, N]` blocks -> `[S * kv_heads * N]` rows of `head_rows`."""
    _, _, num_kv_heads, block_tokens, head_dim = cache.shape
    heads = torch.arange(num_kv_heads, device=blocks.device)
    stride = cache.stride(0) // (block_tokens * head_dim)
    return (blocks[:, None, :] * stride + heads[None, :, None]).reshape(-1)


def _first_block(first_kv_len: int, window: int | None, block_tokens: int) -> int:
    """The first block that the query at position `first_kv_len - 1` can see."""
    return 0 if window is None else max(first_kv_len - window, 0) // block_tokens


def _decode_group(batch: Batch, rows: list[int], cache: torch.Tensor, window: int | None) -> DecodeGroup:
    _, _, num_kv_heads, block_tokens, _ = cache.shape
    kv_lens = [batch.host_kv_lens[row] for row in rows]
    starts = [_first_block(kv_len, window, block_tokens) for kv_len in kv_lens]
    num_blocks = max(-(-kv_len // block_tokens) - start for kv_len, start in zip(kv_lens, starts, strict=True))
    device = batch.block_tables.device
    index: torch.Tensor | slice = slice(rows[0], rows[-1] + 1)
    if rows[-1] - rows[0] + 1 != len(rows):
        index = torch.tensor(rows, device=device)
    start = torch.tensor(starts, device=device)[:, None]
    columns = start + torch.arange(num_blocks, device=device)
    tables = batch.block_tables[index]
    gather = _gather_rows(tables.gather(1, columns.clamp(max=tables.shape[1] - 1)), cache)
    positions = start * block_tokens + torch.arange(num_blocks * block_tokens, device=device)
    ends = batch.kv_lens[index, None]
    hidden = positions >= ends
    if window is not None:
        hidden |= positions < ends - window
    if not hidden.any():
        return DecodeGroup(index, gather, None, None)
    mask = _mask(hidden, cache)
    every_head = hidden[:, None, :].expand(-1, num_kv_heads, -1)
    return DecodeGroup(index, gather, mask[:, None, None, :], every_head.flatten().nonzero()[:, 0])


def _chunk(batch: Batch, row: int, start: int, cache: torch.Tensor, window: int | None) -> Chunk:
    block_tokens = cache.shape[3]
    q_len, kv_len = batch.q_lens[row], batch.host_kv_lens[row]
    num_before = kv_len - q_len
    first = _first_block(num_before + 1, window, block_tokens)
    gather = _gather_rows(batch.block_tables[row : row + 1, first : -(-kv_len // block_tokens)], cache)
    num_tokens = kv_len - first * block_tokens
    rows = slice(start, start + q_len)
    if num_before == 0 and (window is None or window >= kv_len):
        return Chunk(rows, gather, num_tokens, None)
    queries = torch.arange(num_before, kv_len, device=gather.device)[:, None]
    keys = torch.arange(first * block_tokens, kv_len, device=gather.device)
    hidden = keys > queries
    if window is not None:
        hidden |= keys <= queries - window
    return Chunk(rows, gather, num_tokens, _mask(hidden, cache))


def _mask(hidden: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
    """In the pool's type, which most often is the queries'; eight bits have no infinity."""
    dtype = torch.float32 if cache.dtype == FP8 else cache.dtype
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)
