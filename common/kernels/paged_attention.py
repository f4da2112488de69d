"""Attention of packed queries over keys and values that lie in blocks: which kernel takes which rows of a batch.

Decode rows share one launch of any length, chunks another, and a prompt that sees nothing but itself goes to torch's.
"""

from dataclasses import dataclass

import torch

from common.kernels.batch import Batch
from common.kernels.chunk_attention import ChunkList, chunk_attention, make_chunk_list
from common.kernels.decode_attention import decode_attention
from common.kernels.dense_attention import dense_attention
from common.kernels.launch import launch_of
from common.kernels.reference.fp8 import FP8, KVScales
from common.kernels.work_list import WorkList, make_work_list


@dataclass(frozen=True, slots=True)
class DeviceReach:
    """What each query of a batch can see, for layers with one window. Of a batch of decode rows, all on the device."""

    batch: Batch
    window: int | None
    decode: WorkList | None
    chunks: ChunkList | None
    paged: ChunkList | None  # chunks and whole prompts alike, for callers that have no fresh keys and values
    dense: tuple[slice, ...]  # rows of whole prompts


def find_reach(batch: Batch, cache: torch.Tensor, window: int | None) -> DeviceReach:
    """`cache` is any layer of the pool, `[blocks, 2, kv_heads, block_tokens, D]`; only its shape and dtype are read."""
    decode = None
    kind = "_fp8" if cache.dtype == FP8 else ""
    launch = launch_of(f"chunk_attention{kind}", cache.device)
    if batch.num_decode:
        decode = make_work_list(batch, cache.shape[2], window, launch_of(f"decode_attention{kind}", cache.device))
    chunks, dense, start = [], [], batch.num_decode
    for sequence in range(batch.num_decode, batch.num_sequences):
        end = start + batch.q_lens[sequence]
        alone = batch.q_lens[sequence] == batch.host_kv_lens[sequence]
        if alone and (window is None or window >= batch.host_kv_lens[sequence]):
            dense.append(slice(start, end))
        else:
            chunks.append(sequence)
        start = end
    every = list(range(batch.num_decode, batch.num_sequences))
    return DeviceReach(
        batch,
        window,
        decode,
        make_chunk_list(batch, chunks, launch) if chunks else None,
        make_chunk_list(batch, every, launch) if every else None,
        tuple(dense),
    )


def paged_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    reach: DeviceReach,
    scale: float,
    fresh: torch.Tensor | None = None,
    kv_scales: KVScales = (1.0, 1.0),
) -> torch.Tensor:
    """`[T, heads, D] -> [T, heads * D]`; `cache` is one layer of the pool, `[blocks, 2, kv_heads, block_tokens, D]`.

    `fresh`, `[T, 2, kv_heads, D]`, are this step's keys and values as they were written; without them whole prompts
    are read from the pool like any chunk.
    """
    out = torch.empty(len(query), query.shape[1] * query.shape[2], dtype=query.dtype, device=query.device)
    count = reach.batch.num_decode
    if reach.decode is not None:
        decode_attention(query[:count], cache, reach.decode, scale, out[:count], kv_scales)
    chunks = reach.paged if fresh is None else reach.chunks
    if chunks is not None:
        chunk_attention(query, cache, reach.batch, chunks, reach.window, scale, out, kv_scales)
    if fresh is not None:
        for rows in reach.dense:
            out.view(query.shape)[rows] = dense_attention(query[rows], fresh[rows], scale)
    return out
