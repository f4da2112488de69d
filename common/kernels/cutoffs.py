"""Where each row's filters cut: the distance from its best entry up to which entries are kept.

A distance is the negated score below the best one, divided by the temperature: never negative, so that its bits order
like an integer, and a search over integers finds it exactly.
"""

import triton
import triton.language as tl

GROUP = 64
_GROUP: tl.constexpr = tl.constexpr(GROUP)
_EVERYTHING: tl.constexpr = tl.constexpr(0x7F800000)  # the bits of infinity
# Noise lies between -2.9 and 22.2: what is further from the best entry than this cannot win, and is never looked at.
_HOPELESS: tl.constexpr = tl.constexpr(25.5)
_FEW: tl.constexpr = tl.constexpr(64)
_MANY: tl.constexpr = tl.constexpr(256)


@triton.jit
def reach_of(distances: tl.tensor, weights: tl.tensor, enough: tl.tensor) -> tl.tensor:
    """The least distance within which the weights reach `enough`; infinity's if none."""
    below = tl.full([], -1, tl.int32)
    above = tl.full([], _EVERYTHING, tl.int32)
    for _ in range(31):
        middle = below + (above - below) // 2
        reached = tl.sum(tl.where(distances <= middle, weights, 0.0)) >= enough
        above = tl.where(reached, middle, above)
        below = tl.where(reached, below, middle)
    return above


@triton.jit
def load_distances(
    row_at: tl.tensor,
    list_at: tl.tensor,
    first: tl.tensor,
    count: tl.tensor,
    peak: tl.tensor,
    heat: tl.tensor,
    num_entries: tl.tensor,
    GROUPS: tl.constexpr,
) -> tl.tensor:
    """Of the entries of the groups listed from `first` on; `weights` are 0 where there is none."""
    place = first + tl.arange(0, GROUPS)
    listed = place < count
    group = tl.load(list_at + place, mask=listed, other=0)
    entry = group[:, None] * _GROUP + tl.arange(0, _GROUP)[None, :]
    real = listed[:, None] & (entry < num_entries)
    values = tl.load(row_at + entry, mask=real, other=float("-inf")).to(tl.float32)
    distance = tl.div_rn(peak - values, heat)
    weights = tl.where(real, tl.exp(-distance), 0.0)
    return distance.to(tl.int32, bitcast=True), real.to(tl.float32), weights


@triton.jit
def cut_few(
    row_at: tl.tensor,
    list_at: tl.tensor,
    count: tl.tensor,
    peak: tl.tensor,
    heat: tl.tensor,
    num_entries: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    total: tl.tensor,
    limited: tl.tensor,
    GROUPS: tl.constexpr,
) -> tl.tensor:
    """All listed entries at once, in registers."""
    distances, ones, weights = load_distances(row_at, list_at, 0, count, peak, heat, num_entries, GROUPS)
    cut = tl.full([], _EVERYTHING, tl.int32)
    if limited:
        cut = reach_of(distances, ones, top_k.to(tl.float32))
        weights = tl.where(distances <= cut, weights, 0.0)
        total = tl.sum(weights)
    if top_p < 1.0:
        # top-p counts the probabilities that top-k left
        cut = tl.minimum(cut, reach_of(distances, weights, top_p * total))
    return cut


@triton.jit
def sum_within(
    row_at: tl.tensor,
    list_at: tl.tensor,
    count: tl.tensor,
    peak: tl.tensor,
    heat: tl.tensor,
    num_entries: tl.tensor,
    limit: tl.tensor,
    counted: tl.tensor,
) -> tl.tensor:
    total = tl.zeros([_MANY], tl.float32)
    for first in range(0, count, _MANY):
        distances, ones, weights = load_distances(row_at, list_at, first, count, peak, heat, num_entries, _MANY)
        total += tl.sum(tl.where(distances <= limit, tl.where(counted, ones, weights), 0.0), axis=1)
    return tl.sum(total)


@triton.jit
def cut_any(
    row_at: tl.tensor,
    list_at: tl.tensor,
    count: tl.tensor,
    peak: tl.tensor,
    heat: tl.tensor,
    num_entries: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    total: tl.tensor,
    limited: tl.tensor,
) -> tl.tensor:
    """The same by reading the listed entries once for every bit: for rows so flat that very many may be kept."""
    cut = tl.full([], _EVERYTHING, tl.int32)
    for stage in range(2):
        counting = stage == 0
        if (counting & limited) | ((not counting) & (top_p < 1.0)):
            enough = tl.where(counting, top_k.to(tl.float32), top_p * total)
            below, above = tl.full([], -1, tl.int32), cut
            for _ in range(31):
                middle = below + (above - below) // 2
                found = sum_within(row_at, list_at, count, peak, heat, num_entries, middle, counting)
                above = tl.where(found >= enough, middle, above)
                below = tl.where(found >= enough, below, middle)
            cut = above
            if counting:
                total = sum_within(row_at, list_at, count, peak, heat, num_entries, cut, False)
    return cut


@triton.jit
def cutoffs_kernel(
    logits: tl.tensor,
    sources: tl.tensor,
    temperature: tl.tensor,
    top_ks: tl.tensor,
    top_ps: tl.tensor,
    min_ps: tl.tensor,
    tops: tl.tensor,
    group_weights: tl.tensor,
    lists: tl.tensor,
    peaks: tl.tensor,
    cuts: tl.tensor,
    winners: tl.tensor,
    arrived: tl.tensor,
    num_entries: tl.tensor,
    num_groups: tl.tensor,
    logits_stride: tl.tensor,
    GROUPS: tl.constexpr,
    NOBODY: tl.constexpr,
) -> None:
    """One program per row. Also makes the race's places ready; a row with nothing to choose keeps nothing."""
    row = tl.program_id(0).to(tl.int64)
    heat = tl.load(temperature + row)
    drawn = heat > 0.0
    heat = tl.where(drawn, heat, 1.0)
    top_k, top_p, min_p = tl.load(top_ks + row), tl.load(top_ps + row), tl.load(min_ps + row)
    group = tl.arange(0, GROUPS)
    known = group < num_groups
    top = tl.load(tops + row * num_groups + group, mask=known, other=float("-inf"))
    weight = tl.load(group_weights + row * num_groups + group, mask=known, other=0.0)
    broken = tl.max((top != top).to(tl.int32), axis=0) > 0
    peak = tl.max(top, axis=0)
    fine = (not broken) & (peak > float("-inf")) & (peak < float("inf"))
    tl.store(peaks + row, peak)
    tl.store(winners + row, NOBODY)
    tl.store(arrived + row, 0)

    limited = (top_k > 0) & (top_k < num_entries)
    cut = tl.full([], _EVERYTHING, tl.int32)
    if drawn & fine & (limited | (top_p < 1.0)):
        nearest = tl.div_rn(peak - top, heat)
        bits = nearest.to(tl.int32, bitcast=True)
        share = tl.exp(-nearest)
        total = tl.sum(tl.where(known & (share > 0.0), weight * share, 0.0), axis=0)
        # groups' best entries alone reach what is asked within this distance, so nothing beyond it is kept
        if limited:
            limit = reach_of(bits, known.to(tl.float32), top_k.to(tl.float32))
        else:
            limit = reach_of(bits, tl.where(known, share, 0.0), top_p * total * 1.00001)
        listed = known & (bits <= limit)
        order = tl.cumsum(listed.to(tl.int32), axis=0)
        count = tl.max(order, axis=0)
        list_at = lists + row * num_groups
        tl.store(list_at + order - 1, group, mask=listed)
        tl.debug_barrier()
        row_at = logits + tl.load(sources + row) * logits_stride
        if count <= _FEW:
            cut = cut_few(row_at, list_at, count, peak, heat, num_entries, top_k, top_p, total, limited, _FEW)
        elif count <= _MANY:
            cut = cut_few(row_at, list_at, count, peak, heat, num_entries, top_k, top_p, total, limited, _MANY)
        else:
            cut = cut_any(row_at, list_at, count, peak, heat, num_entries, top_k, top_p, total, limited)
    if min_p > 0.0:
        cut = tl.minimum(cut, tl.maximum(-tl.log(min_p), 0.0).to(tl.int32, bitcast=True))
    hopeless = tl.full([], _HOPELESS, tl.float32).to(tl.int32, bitcast=True)
    cut = tl.where(drawn, tl.minimum(cut, hopeless), 0)
    tl.store(cuts + row, tl.where(fine, cut, -1))
