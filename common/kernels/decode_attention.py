"""Attention of one query token per sequence over KV in blocks: programs of equal work, whatever the contexts' lengths.

Heads that share a KV head are the rows of one small matrix, so each key and value is read once. A program walks its
stretch of the work list; a head that several programs share is put together by whichever of them comes last.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from common.kernels.fp8 import decode_e4m3
from common.kernels.launch import decodes_e4m3, power_of_two
from common.kernels.reference.fp8 import FP8, KVScales
from common.kernels.work_list import WorkList, tiles_of

_LOG2E = 1.4426950408889634


@triton.jit
def load_blocks(table: tl.tensor, position: tl.tensor, end: tl.tensor, BLOCK_TOKENS: tl.constexpr) -> tl.tensor:
    """[tokens] the block of each position before `end`.

    Loaded a tile ahead of the keys: a load that waits for another in the same turn of a loop halves the depth to which
    Triton overlaps them.
    """
    return tl.load(table + position // BLOCK_TOKENS, mask=position < end, other=0).to(tl.int64)


@triton.jit
def load_tile(
    start: tl.tensor,
    block: tl.tensor,
    position: tl.tensor,
    seen: tl.tensor,
    inside: tl.tensor,
    lane: tl.tensor,
    block_stride: tl.tensor,
    slot_stride: tl.tensor,
    BLOCK_TOKENS: tl.constexpr,
    DECODE: tl.constexpr,
    OPERAND: tl.constexpr,
) -> tl.tensor:
    """[tokens, D] of one head, zero where not seen: a hidden token may hold NaN, and 0 * NaN is NaN."""
    place = start + block * block_stride + (position % BLOCK_TOKENS).to(tl.int64) * slot_stride
    found = tl.load(place[:, None] + lane[None, :], mask=seen[:, None] & inside[None, :], other=0.0)
    if DECODE:
        found = decode_e4m3(found)
    return found.to(OPERAND)


@triton.jit
def join_parts(
    sums: tl.tensor,
    marks: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    first_slot: tl.tensor,
    row: tl.tensor,
    lane: tl.tensor,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    JOINED: tl.constexpr,
) -> tl.tensor:
    """The sum over the parts of programs `first` to `last`, which other processors wrote: read past the first cache."""
    top = tl.full([ROWS], float("-inf"), tl.float32)
    weight = tl.zeros([ROWS], tl.float32)
    joined = tl.zeros([ROWS, LANES], tl.float32)
    for begin in range(first, last + 1, JOINED):
        program = begin + tl.arange(0, JOINED)
        real = program <= last
        slot = 2 * program + tl.where(program == first, first_slot, 0)
        mark = marks + slot[:, None] * (2 * ROWS) + row[None, :]
        part_top = tl.load(mark, mask=real[:, None], other=float("-inf"), cache_modifier=".cg")
        part_weight = tl.load(mark + ROWS, mask=real[:, None], other=0.0, cache_modifier=".cg")
        place = sums + slot[:, None, None] * (ROWS * LANES) + row[None, :, None] * LANES + lane[None, None, :]
        part = tl.load(place, mask=real[:, None, None], other=0.0, cache_modifier=".cg")
        higher = tl.maximum(top, tl.max(part_top, axis=0))
        safe = tl.where(higher == float("-inf"), 0.0, higher)
        old, new = tl.exp2(top - safe), tl.exp2(part_top - safe[None, :])
        joined = joined * old[:, None] + tl.sum(part * new[:, :, None], axis=0)
        weight = weight * old + tl.sum(part_weight * new, axis=0)
        top = higher
    return joined, weight


@triton.jit
def store_heads(
    heads_at: tl.tensor, total: tl.tensor, weight: tl.tensor, value_scale: tl.tensor, own: tl.tensor, lane: tl.tensor
) -> None:
    """A row that saw nothing has no weight, and becomes zero."""
    finished = total * (value_scale / tl.where(weight > 0.0, weight, 1.0))[:, None]
    tl.store(heads_at[:, None] + lane[None, :], finished.to(heads_at.dtype.element_ty), mask=own)


@triton.jit(do_not_specialize=["num_sequences", "table_stride"])
def decode_attention_kernel(
    query: tl.tensor,
    cache: tl.tensor,
    out: tl.tensor,
    block_tables: tl.tensor,
    kv_lens: tl.tensor,
    firsts: tl.tensor,
    starts: tl.tensor,
    sizes: tl.tensor,
    sums: tl.tensor,
    marks: tl.tensor,
    arrived: tl.tensor,
    query_stride: tl.tensor,
    query_head_stride: tl.tensor,
    table_stride: tl.tensor,
    block_stride: tl.tensor,
    half_stride: tl.tensor,
    head_stride: tl.tensor,
    slot_stride: tl.tensor,
    num_sequences: tl.tensor,
    window: tl.tensor,
    score_scale: tl.tensor,
    value_scale: tl.tensor,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    TILE: tl.constexpr,
    STAGES: tl.constexpr,
    DECODE: tl.constexpr,
    OPERAND: tl.constexpr,
) -> None:
    """ROWS and LANES are GROUP and HEAD_DIM rounded up to what `tl.dot` takes."""
    program = tl.program_id(0)
    size = tl.load(sizes)
    at = program * size
    end = tl.minimum(at + size, tl.load(firsts + num_sequences) * KV_HEADS)
    sequence = tl.load(starts + program)
    row, lane, token = tl.arange(0, ROWS), tl.arange(0, LANES), tl.arange(0, TILE)
    inside = lane < HEAD_DIM
    own = (row < GROUP)[:, None] & inside[None, :]
    while at < end:
        # the rest of this head, or as much of it as belongs to this program
        kv_len = tl.load(kv_lens + sequence).to(tl.int32)
        first_tile, tiles = tiles_of(kv_len, window, TILE)
        before = tl.load(firsts + sequence) * KV_HEADS
        head = (at - before) // tiles
        head_begin = before + head * tiles
        count = tl.minimum(head_begin + tiles, end) - at
        oldest = tl.where(window > 0, tl.maximum(kv_len - window, 0), 0)

        heads = head * GROUP + row
        rows_at = sequence.to(tl.int64) * query_stride + heads[:, None] * query_head_stride + lane[None, :]
        queries = tl.load(query + rows_at, mask=own, other=0.0).to(OPERAND)
        table = block_tables + sequence.to(tl.int64) * table_stride
        keys_at = cache + head.to(tl.int64) * head_stride
        values_at = keys_at + half_stride
        top = tl.full([ROWS], float("-inf"), tl.float32)
        weight = tl.zeros([ROWS], tl.float32)
        total = tl.zeros([ROWS, LANES], tl.float32)
        tile_begin = first_tile + at - head_begin
        block = load_blocks(table, tile_begin * TILE + token, kv_len, BLOCK_TOKENS)
        for tile in tl.range(tile_begin, tile_begin + count, num_stages=STAGES):
            position = tile * TILE + token
            seen = (position < kv_len) & (position >= oldest)
            keys = load_tile(
                keys_at, block, position, seen, inside, lane, block_stride, slot_stride, BLOCK_TOKENS, DECODE, OPERAND
            )
            scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * score_scale
            scores = tl.where(seen[None, :], scores, float("-inf"))
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
            block = load_blocks(table, position + TILE, kv_len, BLOCK_TOKENS)

        heads_at = out + (sequence.to(tl.int64) * KV_HEADS * GROUP + heads) * HEAD_DIM
        if count == tiles:
            store_heads(heads_at, total, weight, value_scale, own, lane)
        else:
            slot = 2 * program + tl.where(at == program * size, 0, 1)
            tl.store(sums + slot * ROWS * LANES + row[:, None] * LANES + lane[None, :], total)
            tl.store(marks + slot * 2 * ROWS + row, top)
            tl.store(marks + slot * 2 * ROWS + ROWS + row, weight)
            # every thread's part is stored before one of them says so, and read after one has heard of it
            tl.debug_barrier()
            first = head_begin // size
            last = (head_begin + tiles - 1) // size
            counter = arrived + sequence * KV_HEADS + head
            if tl.atomic_add(counter, 1, sem="acq_rel") == last - first:
                tl.debug_barrier()
                first_slot = tl.where(head_begin % size == 0, 0, 1)
                joined, joint_weight = join_parts(sums, marks, first, last, first_slot, row, lane, ROWS, LANES, 2)
                tl.store(counter, 0)
                store_heads(heads_at, joined, joint_weight, value_scale, own, lane)
        at += count
        sequence = tl.where(at == before + KV_HEADS * tiles, sequence + 1, sequence)


def operand_of(query: torch.Tensor, cache: torch.Tensor) -> Any:
    """What the products are taken in: e4m3 fits float16 exactly, and takes one instruction to get there."""
    kinds = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    return tl.float16 if cache.dtype == FP8 else kinds[query.dtype]


def decode_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    work: WorkList,
    scale: float,
    out: torch.Tensor,
    kv_scales: KVScales = (1.0, 1.0),
) -> None:
    """`[S, heads, D]` into `out` `[S, heads * D]`; `cache` is a layer, `[blocks, 2, kv_heads, block_tokens, D]`.

    A sequence without any KV gets zeros.
    """
    num_kv_heads, block_tokens, head_dim = cache.shape[2:]
    group = query.shape[1] // num_kv_heads
    if query.stride(2) != 1 or cache.stride(4) != 1 or not out.is_contiguous():
        raise ValueError("the elements of a head must lie side by side")
    software = cache.dtype == FP8 and not decodes_e4m3(query.device)
    block, half, head, slot = cache.stride()[:4]
    rows, lanes = power_of_two(group, 16), power_of_two(head_dim, 16)
    # where programs that share a head leave their parts: two heads at most are unfinished when a program ends
    sums = torch.empty(work.num_programs, 2, rows, lanes, device=query.device)
    marks = torch.empty(work.num_programs, 2, 2, rows, device=query.device)
    decode_attention_kernel[(work.num_programs,)](
        *(query, cache.view(torch.uint8) if software else cache, out, work.block_tables, work.kv_lens),
        *(work.firsts, work.starts, work.sizes, sums, marks, work.arrived),
        *(query.stride(0), query.stride(1), work.block_tables.stride(0), block, half, head, slot),
        *(len(query), work.window, scale * kv_scales[0] * _LOG2E, kv_scales[1]),
        KV_HEADS=num_kv_heads,
        GROUP=group,
        HEAD_DIM=head_dim,
        BLOCK_TOKENS=block_tokens,
        ROWS=rows,
        LANES=lanes,
        TILE=work.launch.tile,
        STAGES=work.launch.stages,
        DECODE=software,
        OPERAND=operand_of(query, cache),
        **work.launch.options,
    )
