"""Log probabilities of chosen tokens and of the best alternatives, from untouched logits, on their device.

Two launches: each tile of a row gives its best entries and its weight, then one program per row puts them together.
"""

import torch
import triton
import triton.language as tl

from common.kernels.launch import launch_of, options, power_of_two
from common.kernels.reference.device_logprobs import DeviceLogprobs


@triton.jit
def take_best(values: tl.tensor, ids: tl.tensor, left: tl.tensor) -> tl.tensor:
    """The highest of those left, the lowest id among equals; and what is left without it."""
    best = tl.max(tl.where(left, values, float("-inf")), axis=0)
    winner = tl.min(tl.where(left & (values == best), ids, 0x7FFFFFFF), axis=0)
    return best, winner, left & (ids != winner)


@triton.jit(do_not_specialize=["num_top"])
def tile_bests_kernel(
    logits: tl.tensor,
    tops: tl.tensor,
    weights: tl.tensor,
    best_values: tl.tensor,
    best_ids: tl.tensor,
    num_entries: tl.tensor,
    num_top: tl.tensor,
    logits_stride: tl.tensor,
    TILE: tl.constexpr,
) -> None:
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    ids = part * TILE + tl.arange(0, TILE)
    left = ids < num_entries
    values = tl.load(logits + row * logits_stride + ids, mask=left, other=float("-inf")).to(tl.float32)
    top = tl.max(values, axis=0)
    safe = tl.where(top == float("-inf"), 0.0, top)
    place = row * tl.num_programs(1) + part
    tl.store(tops + place, top)
    tl.store(weights + place, tl.sum(tl.exp(values - safe), axis=0))
    for rank in range(num_top):
        best, winner, left = take_best(values, ids, left)
        tl.store(best_values + place * num_top + rank, best)
        tl.store(best_ids + place * num_top + rank, winner)


@triton.jit(do_not_specialize=["num_top"])
def logprobs_kernel(
    logits: tl.tensor,
    token_ids: tl.tensor,
    tops: tl.tensor,
    weights: tl.tensor,
    best_values: tl.tensor,
    best_ids: tl.tensor,
    chosen: tl.tensor,
    top_ids: tl.tensor,
    top_values: tl.tensor,
    num_parts: tl.tensor,
    num_top: tl.tensor,
    logits_stride: tl.tensor,
    PARTS: tl.constexpr,
    BESTS: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, PARTS)
    known = part < num_parts
    tile_tops = tl.load(tops + row * num_parts + part, mask=known, other=float("-inf"))
    tile_weights = tl.load(weights + row * num_parts + part, mask=known, other=0.0)
    top = tl.max(tile_tops, axis=0)
    log_total = top + tl.log(tl.sum(tile_weights * tl.exp(tile_tops - top), axis=0))
    own = tl.load(logits + row * logits_stride + tl.load(token_ids + row)).to(tl.float32)
    tl.store(chosen + row, own - log_total)
    place = tl.arange(0, BESTS)
    left = place < num_parts * num_top
    values = tl.load(best_values + row * num_parts * num_top + place, mask=left, other=float("-inf"))
    ids = tl.load(best_ids + row * num_parts * num_top + place, mask=left, other=0x7FFFFFFF)
    left = left & (ids < 0x7FFFFFFF)
    for rank in range(num_top):
        best, winner, left = take_best(values, ids, left)
        tl.store(top_ids + row * num_top + rank, winner.to(tl.int64))
        tl.store(top_values + row * num_top + rank, best - log_total)


def logprobs(logits: torch.Tensor, token_ids: torch.Tensor, num_top: int) -> DeviceLogprobs:
    """`logits` is `[R, V]` with a finite maximum in each row, `token_ids` `[R]` int64; `num_top` may be 0."""
    num_rows, num_entries = logits.shape
    device = logits.device
    num_top = min(num_top, num_entries)
    launch = launch_of("logprobs", device)
    parts = triton.cdiv(num_entries, launch.tile)
    if logits.stride(1) != 1 or token_ids.stride(0) != 1:
        raise ValueError("the elements of a row must lie side by side")

    def floats(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device=device)

    chosen, top_values = floats(num_rows), floats(num_rows, num_top)
    top_ids = torch.empty(num_rows, num_top, dtype=torch.int64, device=device)
    tops, weights, best_values = floats(num_rows, parts), floats(num_rows, parts), floats(num_rows, parts, num_top)
    best_ids = torch.empty(num_rows, parts, num_top, dtype=torch.int32, device=device)
    if num_rows:
        tile_bests_kernel[(num_rows, parts)](
            *(logits, tops, weights, best_values, best_ids, num_entries, num_top, logits.stride(0)),
            TILE=launch.tile,
            **launch.options,
        )
        logprobs_kernel[(num_rows,)](
            *(logits, token_ids, tops, weights, best_values, best_ids, chosen, top_ids, top_values),
            *(parts, num_top, logits.stride(0)),
            PARTS=power_of_two(parts),
            BESTS=power_of_two(parts * max(num_top, 1)),
            **options(warps=4),
        )
    return DeviceLogprobs(chosen, top_ids, top_values)
