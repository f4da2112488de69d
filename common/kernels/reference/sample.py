"""Chooses one token per row of logits: the best one, or one drawn by the Gumbel-max rule after top-k, top-p and min-p.

A drawn token is a function of its row, its filters and its key alone, whatever the other rows are. Only the best
entries of a row are sorted, as many as its nucleus needs. Filters are value thresholds, so entries equal to the last
one kept are kept too. Knows nothing of requests; penalties stand in `penalties.py`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from common.kernels.reference.gumbel import Float32s, Keys, gumbel

Int64s = npt.NDArray[np.int64]

NUCLEUS = 1024  # so many entries of a row are looked at first
_WIDEN = 8  # and so many times as many whenever that was not enough
_SUM_BLOCK = 64
_CHUNK_ENTRIES = 1 << 16  # rows worked on at once: their float32 scores and noise stay in a core's cache


@dataclass(frozen=True, slots=True)
class Draws:
    """How each row is drawn: arrays of one entry per token to draw."""

    temperature: Float32s  # above 0
    top_k: Int64s  # 0: off
    top_p: Float32s  # 1: off
    min_p: Float32s  # 0: off
    keys: Keys  # [R, 2]


def draw_tokens(logits: torch.Tensor, rows: Int64s, draws: Draws) -> Int64s:
    """One token for each entry of `rows`, which name rows of `logits` (float32 [R, V]) whose maximum is finite."""
    values = logits.cpu().numpy()
    tokens = np.empty(len(rows), dtype=np.int64)
    step = max(1, _CHUNK_ENTRIES // values.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        scaled = values[rows[part]]
        # The best entry becomes 0: no temperature can overflow it.
        scaled -= scaled.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):
            np.divide(scaled, draws.temperature[part, None], out=scaled)
        lowest = cutoffs(scaled, draws.top_k[part], draws.top_p[part], draws.min_p[part])
        kept = lowest > -np.inf
        tokens[part][kept] = _race_above(scaled[kept], lowest[kept], draws.keys[part][kept])
        tokens[part][~kept] = _race_all(scaled[~kept], draws.keys[part][~kept])
    return tokens


def cutoffs(scaled: Float32s, top_k: Int64s, top_p: Float32s, min_p: Float32s) -> Float32s:
    """[R] the lowest value each row keeps, -inf when it keeps all. Rows have their maximum at 0."""
    lowest = np.full(len(scaled), -np.inf, dtype=np.float32)
    np.log(min_p, out=lowest, where=min_p > 0)
    ranked = np.flatnonzero(((top_k > 0) & (top_k < scaled.shape[1])) | (top_p < 1))
    if len(ranked):
        cut = _rank_cutoffs(scaled[ranked], top_k[ranked], top_p[ranked])
        lowest[ranked] = np.maximum(lowest[ranked], cut)
    return lowest


def _rank_cutoffs(scaled: Float32s, top_k: Int64s, top_p: Float32s) -> Float32s:
    """The lowest value that top-k, and then top-p among what it left, keep."""
    vocabulary = scaled.shape[1]
    limited = (top_k > 0) & (top_k < vocabulary)
    width = int(top_k.max(where=limited, initial=1))
    lowest = np.full(len(scaled), -np.inf, dtype=np.float32)
    if limited.any():
        best = _best_entries(scaled[limited], width)
        lowest[limited] = best[np.arange(len(best)), top_k[limited] - 1]
    pending = np.flatnonzero(top_p < 1)
    if not len(pending):
        return lowest
    # top-p counts the probabilities that top-k left
    weights = np.exp(scaled[pending])
    total = weights.sum(axis=1, where=scaled[pending] >= lowest[pending, None])
    width = max(width, NUCLEUS)
    while len(pending):
        best = _best_entries(scaled[pending], width)
        enough = top_p[pending].astype(np.float64) * total
        sizes = _nucleus_sizes(np.exp(best), enough)
        cut = best[np.arange(len(best)), sizes - 1]
        found = (sizes < best.shape[1]) | (cut <= lowest[pending]) | (width >= vocabulary)
        lowest[pending[found]] = np.maximum(lowest[pending], cut)[found]
        pending, total, width = pending[~found], total[~found], width * _WIDEN
    return lowest


def _best_entries(scaled: Float32s, width: int) -> Float32s:
    """[R, width] the highest values of each row, best first; all of them when there are no more."""
    vocabulary = scaled.shape[1]
    if width < vocabulary:
        scaled = np.partition(scaled, vocabulary - width, axis=1)[:, vocabulary - width :]
    return np.ascontiguousarray(np.sort(scaled, axis=1)[:, ::-1])


def _nucleus_sizes(weights: Float32s, enough: npt.NDArray[np.float64]) -> Int64s:
    """[R] how many of the descending weights it takes to reach `enough`; at least one, at most all.

    Sums blocks first and adds up entry by entry only inside the block that decides: a running sum over a whole
    vocabulary is several times dearer than sorting it.
    """
    count, width = weights.shape
    if width % _SUM_BLOCK:
        weights = np.pad(weights, ((0, 0), (0, -width % _SUM_BLOCK)))
    blocks = weights.reshape(count, -1, _SUM_BLOCK)
    sums = blocks.sum(axis=2, dtype=np.float64)
    before = np.cumsum(sums, axis=1) - sums
    row = np.arange(count)
    block = np.maximum((before < enough[:, None]).sum(axis=1) - 1, 0)
    inside = blocks[row, block].astype(np.float64)
    before_entry = before[row, block][:, None] + np.cumsum(inside, axis=1) - inside
    sizes: Int64s = block * _SUM_BLOCK + (before_entry < enough[:, None]).sum(axis=1)
    return sizes.clip(1, width)


def _race_all(scaled: Float32s, keys: Keys) -> Int64s:
    entries = np.arange(scaled.shape[1], dtype=np.uint32)
    noise = gumbel(keys[:, :1], keys[:, 1:], entries)
    winners: Int64s = np.add(noise, scaled, out=noise).argmax(axis=1)
    return winners


def _race_above(scaled: Float32s, lowest: Float32s, keys: Keys) -> Int64s:
    """Only the entries kept get noise: usually a few dozen of a whole vocabulary."""
    winners = np.zeros(len(scaled), dtype=np.int64)
    if not len(scaled):
        return winners
    places = np.flatnonzero(scaled >= lowest[:, None])
    rows, entries = np.divmod(places, scaled.shape[1])
    noise = gumbel(keys[rows, 0], keys[rows, 1], entries.astype(np.uint32))
    scores = scaled.reshape(-1)[places] + noise
    starts = np.searchsorted(rows, np.arange(len(scaled)))
    won = np.flatnonzero(scores == np.maximum.reduceat(scores, starts)[rows])[::-1]
    winners[rows[won]] = entries[won]  # the last write stands: the lowest id among equals
    return winners
