"""Attention of packed queries over keys and values that lie in blocks."""

import torch
from torch.nn import functional

from common.kernels.reference.fp8 import FP8, dequantise
from common.kernels.reference.reach import DecodeGroup, Reach, head_rows


def paged_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    reach: Reach,
    scale: float,
    fresh: torch.Tensor | None = None,
) -> torch.Tensor:
    """`[T, heads, D] -> [T, heads * D]`; `cache` is one layer of the pool, `[blocks, 2, kv_heads, block_tokens, D]`.

    `fresh`, `[T, 2, kv_heads, D]`, are this step's keys and values before they were written: a faster way to them for
    whoever wants it. Here all are read from the pool, unless it keeps them in another type: then a prompt that sees
    nothing but itself sees what was computed.
    """
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    keys, values = head_rows(cache[:, 0]), head_rows(cache[:, 1])
    shape = cache.shape[2], -1, cache.shape[4]
    for group in reach.groups:
        out[group.rows] = _attend_group(query[group.rows], keys, values, shape, group, scale)
    for chunk in reach.chunks:
        own = query[chunk.rows]
        if fresh is not None and chunk.mask is None and cache.dtype != query.dtype:
            seen = fresh[chunk.rows].transpose(0, 2)
            out[chunk.rows] = _attend_chunk(own, seen[None, :, 0], seen[None, :, 1], None, scale)
        else:
            found = [_gather(part, chunk.gather, query.dtype).view(1, *shape) for part in (keys, values)]
            key, value = (part[:, :, : chunk.num_tokens] for part in found)
            out[chunk.rows] = _attend_chunk(own, key, value, chunk.mask, scale)
    return out.flatten(1)


def _attend_group(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    shape: tuple[int, int, int],
    group: DecodeGroup,
    scale: float,
) -> torch.Tensor:
    """Heads that share a KV head become the rows of one small matrix, so keys are read once for all of them."""
    rows, num_heads, head_dim = query.shape
    num_kv_heads = shape[0]

    def gather(source: torch.Tensor) -> torch.Tensor:
        tokens = _gather(source, group.gather, query.dtype).view(-1, head_dim)
        if group.hidden is not None:
            # a mask cannot undo a NaN: 0 * NaN is NaN
            tokens.index_fill_(0, group.hidden, 0.0)
        return tokens.view(rows, *shape)

    packed = query.reshape(rows, num_kv_heads, num_heads // num_kv_heads, head_dim)
    mask = None if group.mask is None else group.mask.to(query.dtype)
    out = functional.scaled_dot_product_attention(packed, gather(keys), gather(values), attn_mask=mask, scale=scale)
    return out.reshape(query.shape)


def _attend_chunk(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """`[T, heads, D]` over `[1, kv_heads, tokens, D]`, causal where no mask says otherwise."""
    out = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        key,
        value,
        attn_mask=None if mask is None else mask.to(query.dtype),
        is_causal=mask is None,
        scale=scale,
        enable_gqa=True,
    )
    return out[0].transpose(0, 1)


def _gather(source: torch.Tensor, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Rows of keys or values as numbers of the queries' type."""
    if source.dtype == FP8:  # as bits: torch gathers no e4m3
        return dequantise(functional.embedding(rows, source.view(torch.uint8)).view(FP8), 1.0, dtype)
    return functional.embedding(rows, source).to(dtype)
