"""Attention of several tokens of one sequence over all of its KV, earlier blocks included, causal.

A program takes some tokens and all the heads that share one KV head, packed into the rows of one matrix.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from common.kernels.batch import Batch
from common.kernels.decode_attention import load_blocks, load_tile, operand_of, store_heads
from common.kernels.launch import Launch, decodes_e4m3, power_of_two
from common.kernels.reference.fp8 import FP8, KVScales

_LOG2E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class ChunkList:
    """What the programs of one step's chunks take: `[n, 2]` int32, a sequence and the first of its tokens here.

    An entry stands for as many tokens as the widest program takes, which is one of ungrouped heads; others share it.
    """

    tiles: torch.Tensor
    launch: Launch


@triton.jit(do_not_specialize=["table_stride"])
def chunk_attention_kernel(
    query: tl.tensor,
    cache: tl.tensor,
    out: tl.tensor,
    tiles: tl.tensor,
    query_starts: tl.tensor,
    block_tables: tl.tensor,
    kv_lens: tl.tensor,
    query_stride: tl.tensor,
    query_head_stride: tl.tensor,
    table_stride: tl.tensor,
    block_stride: tl.tensor,
    half_stride: tl.tensor,
    head_stride: tl.tensor,
    slot_stride: tl.tensor,
    window: tl.tensor,
    score_scale: tl.tensor,
    value_scale: tl.tensor,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    GROUP_ROWS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    TILE: tl.constexpr,
    STAGES: tl.constexpr,
    DECODE: tl.constexpr,
    OPERAND: tl.constexpr,
) -> None:
    """Row `r` of a program is head `r % GROUP_ROWS` of its group, of token `r // GROUP_ROWS`."""
    program = tl.program_id(0)
    kv_head = tl.program_id(1)
    sequence = tl.load(tiles + 2 * program)
    first = tl.load(tiles + 2 * program + 1) + tl.program_id(2) * (ROWS // GROUP_ROWS)
    chunk_start = tl.load(query_starts + sequence)
    num_tokens = (tl.load(query_starts + sequence + 1) - chunk_start).to(tl.int32)
    kv_len = tl.load(kv_lens + sequence).to(tl.int32)
    before = kv_len - num_tokens
    if first >= num_tokens:
        return

    row, lane, offset = tl.arange(0, ROWS), tl.arange(0, LANES), tl.arange(0, TILE)
    inside = lane < HEAD_DIM
    token = first + row // GROUP_ROWS
    head = kv_head * GROUP + row % GROUP_ROWS
    mine = before + token
    own = ((token < num_tokens) & (row % GROUP_ROWS < GROUP))[:, None] & inside[None, :]
    at = (chunk_start + token)[:, None] * query_stride + head[:, None] * query_head_stride + lane[None, :]
    queries = tl.load(query + at, mask=own, other=0.0).to(OPERAND)
    table = block_tables + sequence.to(tl.int64) * table_stride
    keys_at = cache + kv_head.to(tl.int64) * head_stride
    values_at = keys_at + half_stride

    last_token = tl.minimum(first + ROWS // GROUP_ROWS, num_tokens) - 1
    oldest = tl.where(window > 0, tl.maximum(before + first - window + 1, 0), 0)
    end = before + last_token + 1
    # tiles that every row sees whole lie between those that begin before the last row's window and the diagonal
    whole_begin = tl.where(window > 0, tl.cdiv(tl.maximum(before + last_token - window + 1, 0), TILE), 0)
    whole_end = tl.maximum((before + first + 1) // TILE, whole_begin)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    weight = tl.zeros([ROWS], tl.float32)
    total = tl.zeros([ROWS, LANES], tl.float32)
    for phase in tl.static_range(3):
        begin = oldest // TILE if phase == 0 else (whole_begin if phase == 1 else whole_end)
        stop = whole_begin if phase == 0 else (whole_end if phase == 1 else tl.cdiv(end, TILE))
        block = load_blocks(table, begin * TILE + offset, end, BLOCK_TOKENS)
        for tile in tl.range(begin, stop, num_stages=STAGES):
            position = tile * TILE + offset
            seen = (position < end) & (position >= oldest)
            keys = load_tile(
                keys_at, block, position, seen, inside, lane, block_stride, slot_stride, BLOCK_TOKENS, DECODE, OPERAND
            )
            scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * score_scale
            if phase != 1:
                visible = seen[None, :] & (position[None, :] <= mine[:, None])
                visible &= (window == 0) | (position[None, :] > mine[:, None] - window)
                scores = tl.where(visible, scores, float("-inf"))
            higher = tl.maximum(top, tl.max(scores, axis=1))
            # a row that has seen nothing yet: anything finite keeps inf - inf away
            safe = tl.where(higher == float("-inf"), 0.0, higher)
            old = tl.exp2(top - safe)
            shares = tl.exp2(scores - safe[:, None])
            values = load_tile(
                values_at, block, position, seen, inside, lane, block_stride, slot_stride, BLOCK_TOKENS, DECODE, OPERAND
            )
            total = total * old[:, None] + tl.dot(shares.to(OPERAND), values, input_precision="ieee")
            weight = weight * old + tl.sum(shares, axis=1)
            top = higher
            block = load_blocks(table, position + TILE, end, BLOCK_TOKENS)
    heads_at = out + ((chunk_start + token) * HEADS + head) * HEAD_DIM
    store_heads(heads_at, total, weight, value_scale, own, lane)


def make_chunk_list(batch: Batch, sequences: list[int], launch: Launch) -> ChunkList:
    """`sequences` are the chunks to attend to here. Programs with the most to read begin first."""
    tiles = [
        (sequence, first, batch.host_kv_lens[sequence] - batch.q_lens[sequence] + first)
        for sequence in sequences
        for first in range(0, batch.q_lens[sequence], launch.depth)
    ]
    tiles.sort(key=lambda tile: -tile[2])
    pairs = torch.tensor([tile[:2] for tile in tiles], dtype=torch.int32)
    device = batch.kv_lens.device
    # from page-locked memory: a copy from any other waits for all that was launched before it
    here = pairs.pin_memory() if device.type == "cuda" else pairs
    return ChunkList(here.to(device, non_blocking=True), launch)


def chunk_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    batch: Batch,
    chunks: ChunkList,
    window: int | None,
    scale: float,
    out: torch.Tensor,
    kv_scales: KVScales = (1.0, 1.0),
) -> None:
    """`[T, heads, D]` into the chunks' rows of `out` `[T, heads * D]`."""
    num_kv_heads, block_tokens, head_dim = cache.shape[2:]
    group = query.shape[1] // num_kv_heads
    if query.stride(2) != 1 or cache.stride(4) != 1 or not out.is_contiguous():
        raise ValueError("the elements of a head must lie side by side")
    software = cache.dtype == FP8 and not decodes_e4m3(query.device)
    group_rows = power_of_two(group)
    rows = max(chunks.launch.depth, group_rows)
    shares = triton.cdiv(chunks.launch.depth, rows // group_rows)
    block, half, head, slot = cache.stride()[:4]
    chunk_attention_kernel[(len(chunks.tiles), num_kv_heads, shares)](
        *(query, cache.view(torch.uint8) if software else cache, out, chunks.tiles, batch.query_starts),
        *(batch.block_tables, batch.kv_lens, query.stride(0), query.stride(1), batch.block_tables.stride(0)),
        *(block, half, head, slot, window or 0, scale * kv_scales[0] * _LOG2E, kv_scales[1]),
        HEADS=query.shape[1],
        GROUP=group,
        GROUP_ROWS=group_rows,
        HEAD_DIM=head_dim,
        BLOCK_TOKENS=block_tokens,
        ROWS=rows,
        LANES=power_of_two(head_dim, 16),
        TILE=chunks.launch.tile,
        STAGES=chunks.launch.stages,
        DECODE=software,
        OPERAND=operand_of(query, cache),
        **chunks.launch.options,
    )
