"""Chooses one token per row of logits: the best, or one drawn by the Gumbel-max rule after top-k, top-p and min-p.

Three launches, each entry read about twice: groups of entries are summed up; from them each row's cutoff is found; then
the entries above it race. Nothing is sorted: a cutoff is the bit pattern of a number, found bit by bit.
"""

import torch
import triton
import triton.language as tl

from common.kernels.cutoffs import GROUP, cutoffs_kernel
from common.kernels.gumbel import hash_entries, to_gumbel
from common.kernels.launch import launch_of, options, power_of_two
from common.kernels.reference.choose_tokens import DeviceDraws

_NOBODY = -(2**63)
_GROUP: tl.constexpr = tl.constexpr(GROUP)


@triton.jit
def groups_kernel(
    logits: tl.tensor,
    sources: tl.tensor,
    temperature: tl.tensor,
    tops: tl.tensor,
    weights: tl.tensor,
    num_entries: tl.tensor,
    num_groups: tl.tensor,
    logits_stride: tl.tensor,
    GROUPS: tl.constexpr,
) -> None:
    """Of each group its largest entry, NaN if it holds one, and the weight of all its entries relative to that."""
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    entry = group[:, None] * _GROUP + tl.arange(0, _GROUP)[None, :]
    place = logits + tl.load(sources + row) * logits_stride + entry
    values = tl.load(place, mask=entry < num_entries, other=float("-inf")).to(tl.float32)
    broken = tl.max((values != values).to(tl.int32), axis=1) > 0
    top = tl.max(values, axis=1)
    heat = tl.load(temperature + row)
    heat = tl.where(heat > 0.0, heat, 1.0)
    # anything finite keeps inf - inf away
    safe = tl.where((top > float("-inf")) & (top < float("inf")), top, 0.0)
    weight = tl.sum(tl.exp(tl.div_rn(values - safe[:, None], heat)), axis=1)
    known = group < num_groups
    tl.store(tops + row * num_groups + group, tl.where(broken, float("nan"), top), mask=known)
    tl.store(weights + row * num_groups + group, weight, mask=known)


@triton.jit
def race_kernel(
    logits: tl.tensor,
    sources: tl.tensor,
    temperature: tl.tensor,
    keys: tl.tensor,
    tops: tl.tensor,
    peaks: tl.tensor,
    cuts: tl.tensor,
    winners: tl.tensor,
    arrived: tl.tensor,
    tokens: tl.tensor,
    num_entries: tl.tensor,
    num_groups: tl.tensor,
    logits_stride: tl.tensor,
    GROUPS: tl.constexpr,
    NOBODY: tl.constexpr,
    BEYOND: tl.constexpr,
) -> None:
    """The best sum of score and noise, the lowest id among equals. Tiles with nothing above the cut are passed by."""
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    heat = tl.load(temperature + row)
    drawn = heat > 0.0
    heat = tl.where(drawn, heat, 1.0)
    peak = tl.load(peaks + row)
    cut = tl.load(cuts + row)
    if cut >= 0:
        top = tl.load(tops + row * num_groups + group, mask=group < num_groups, other=float("-inf"))
        highest = tl.max(top, axis=0)
        if tl.div_rn(peak - highest, heat).to(tl.int32, bitcast=True) <= cut:
            entry = tl.program_id(1) * GROUPS * _GROUP + tl.arange(0, GROUPS * _GROUP)
            place = logits + tl.load(sources + row) * logits_stride + entry
            values = tl.load(place, mask=entry < num_entries, other=float("-inf")).to(tl.float32)
            distance = tl.div_rn(peak - values, heat)
            kept = (distance.to(tl.int32, bitcast=True) <= cut) & (entry < num_entries)
            first = tl.load(keys + 2 * row).to(tl.uint32, bitcast=True)
            second = tl.load(keys + 2 * row + 1).to(tl.uint32, bitcast=True)
            noise = to_gumbel(hash_entries(first, second, entry.to(tl.uint32)))
            score = tl.where(kept, tl.where(drawn, noise - distance, 0.0), float("-inf"))
            best = tl.max(score, axis=0)
            winner = tl.min(tl.where(kept & (score == best), entry, BEYOND), axis=0)
            if winner < BEYOND:
                # one number that compares by score, then by the lower id
                bits = best.to(tl.int32, bitcast=True)
                ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
                tl.atomic_max(winners + row, (ordered.to(tl.int64) << 32) | (BEYOND - winner).to(tl.int64))
    if tl.atomic_add(arrived + row, 1, sem="acq_rel") == tl.num_programs(1) - 1:
        won = tl.load(winners + row, cache_modifier=".cg")
        tl.store(tokens + row, tl.where(won == NOBODY, -1, BEYOND - (won & 0xFFFFFFFF)))


def choose_tokens(logits: torch.Tensor, sources: torch.Tensor, draws: DeviceDraws) -> torch.Tensor:
    """[R] int64: the token of each draw, or -1 where the logits hold nothing to choose.

    `sources` [R] int64 names the row of `logits` `[L, V]` that each token is drawn from.
    """
    num_rows, num_entries, device = draws.num_rows, logits.shape[1], logits.device
    if logits.stride(1) != 1 or not draws.keys.is_contiguous():
        raise ValueError("the elements of a row must lie side by side")
    tokens = torch.empty(num_rows, dtype=torch.int64, device=device)
    if not num_rows:
        return tokens
    launch = launch_of("choose_tokens", device)
    groups = launch.tile // GROUP
    num_groups = triton.cdiv(num_entries, GROUP)
    tops, weights = torch.empty(2, num_rows, num_groups, device=device)
    lists = torch.empty(num_rows, num_groups, dtype=torch.int32, device=device)
    peaks = torch.empty(num_rows, device=device)
    cuts, arrived = torch.empty(2, num_rows, dtype=torch.int32, device=device)
    winners = torch.empty(num_rows, dtype=torch.int64, device=device)
    grid = num_rows, triton.cdiv(num_groups, groups)
    exact = options(launch.warps, launch.stages, fuse=False)
    row = logits, sources, draws.temperature
    sizes = num_entries, num_groups, logits.stride(0)
    groups_kernel[grid](*row, tops, weights, *sizes, GROUPS=groups, **exact)
    cutoffs_kernel[(num_rows,)](
        *(*row, draws.top_k, draws.top_p, draws.min_p, tops, weights, lists, peaks, cuts, winners, arrived, *sizes),
        GROUPS=power_of_two(num_groups),
        NOBODY=_NOBODY,
        **exact,
    )
    race_kernel[grid](
        *(*row, draws.keys, tops, peaks, cuts, winners, arrived, tokens, *sizes),
        GROUPS=groups,
        NOBODY=_NOBODY,
        BEYOND=0x7FFFFFFF,
        **exact,
    )
    return tokens
