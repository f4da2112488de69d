"""Checks of attention over blocks against float64, per sequence; whatever no query may see is NaN."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from common.kernels.batch import Batch, Span
from common.kernels.dense_attention import dense_attention
from common.kernels.paged_attention import find_reach, paged_attention
from common.kernels.reference import dense_attention as reference_dense
from common.kernels.reference.fp8 import FP8, dequantise, quantise
from loadtest.gpu.checks import DTYPES, TOLERANCE, Check, distance, random

# tokens before, tokens computed now
DECODE = tuple((length, 1) for length in (0, 1, 15, 16, 63, 64, 65, 700, 2047, 9000))
ONE = ((5000, 1),)
CHUNKS = ((0, 200), (100, 57), (1000, 513), (64, 64), (3, 2))
MIXED = (*DECODE[::3], *CHUNKS[:2])
# num_heads, num_kv_heads, head_dim, block_tokens
SHAPES = ((32, 8, 128, 16), (9, 3, 64, 16), (16, 8, 128, 64), (7, 1, 80, 5), (64, 2, 128, 32))
SCALES = (0.02, 0.03)


@dataclass(frozen=True, slots=True)
class Scene:
    """A batch whose blocks lie in no order in a pool that holds NaN wherever no token is."""

    batch: Batch
    spans: tuple[Span, ...]
    pool: torch.Tensor
    query: torch.Tensor

    @classmethod
    def make(
        cls,
        lengths: tuple[tuple[int, int], ...],
        shape: tuple[int, int, int, int],
        dtype: torch.dtype,
        device: torch.device,
    ) -> "Scene":
        num_heads, num_kv_heads, head_dim, block_tokens = shape
        counts = [-(-sum(length) // block_tokens) for length in lengths]
        order = torch.randperm(sum(counts) + 5, generator=torch.Generator().manual_seed(len(lengths))).tolist()
        spans, place = [], 0
        for (before, now), count in zip(lengths, counts, strict=True):
            spans.append(Span([0] * now, before, order[place : place + count]))
            place += count
        pool = random(len(order), 2, 2, num_kv_heads, block_tokens, head_dim, dtype=dtype, device=device)
        pool[order[place:]] = torch.nan
        for (before, now), span in zip(lengths, spans, strict=True):
            pool[span.blocks[-1], :, :, :, (before + now - 1) % block_tokens + 1 :] = torch.nan
        batch = Batch.pack(spans, block_tokens, device)
        query = random(batch.num_tokens, num_heads + 2 * num_kv_heads, head_dim, dtype=dtype, device=device, seed=2)
        return cls(batch, tuple(spans), pool, query[:, :num_heads])

    def truth(self, window: int | None) -> torch.Tensor:
        num_heads, head_dim = self.query.shape[1:]
        out, row = torch.empty(self.query.shape, dtype=torch.float64, device=self.query.device), 0
        for span in self.spans:
            now, end = len(span.token_ids), span.start + len(span.token_ids)
            kv = self.pool[list(span.blocks), 1].double().permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :end]
            keys, values = kv.repeat_interleave(num_heads // kv.shape[1], dim=1)
            scores = torch.einsum("qhd,hkd->hqk", self.query[row : row + now].double(), keys) * head_dim**-0.5
            mine = torch.arange(span.start, end, device=kv.device)[:, None]
            other = torch.arange(end, device=kv.device)
            hidden = other > mine if window is None else (other > mine) | (other <= mine - window)
            shares = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            out[row : row + now] = torch.einsum("hqk,hkd->qhd", shares, values)
            row += now
        return out.flatten(1)


def attention_checks(device: torch.device) -> Iterator[Check]:
    for name, sets in (("decode_attention", (DECODE, ONE)), ("chunk_attention", (CHUNKS, MIXED))):
        for lengths in sets:
            for shape in SHAPES:
                for dtype in DTYPES:
                    for window in (None, 1, 100):
                        yield Check(f"paged {name}", _paged(lengths, shape, dtype, window, device))
    for lengths in (DECODE, CHUNKS):
        for shape in SHAPES:
            for dtype in (torch.bfloat16, torch.float16):
                yield Check("attention over fp8 KV", _eight_bit(lengths, shape, dtype, device))
    for tokens in (1, 77, 1000):
        for shape in SHAPES:
            yield Check("dense_attention", _dense(tokens, shape, device))


def _paged(
    lengths: tuple[tuple[int, int], ...],
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    window: int | None,
    device: torch.device,
) -> Callable[[], tuple[float, float]]:
    def error() -> tuple[float, float]:
        scene = Scene.make(lengths, shape, dtype, device)
        cache = scene.pool[:, 1]
        reach = find_reach(scene.batch, cache, window)
        truth = scene.truth(window)
        # twice, as two layers of a step would: what is counted between programs must be back where it was
        outs = [paged_attention(scene.query, cache, reach, shape[2] ** -0.5) for _ in range(2)]
        return max(distance(out, truth) for out in outs), TOLERANCE[dtype]

    return error


def _eight_bit(
    lengths: tuple[tuple[int, int], ...], shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> Callable[[], tuple[float, float]]:
    def error() -> tuple[float, float]:
        scene = Scene.make(lengths, shape, dtype, device)
        halves = [quantise(scene.pool[:, :, half], scale) for half, scale in enumerate(SCALES)]
        stored = torch.stack([half.view(torch.uint8) for half in halves], dim=2).view(FP8)
        known = [dequantise(half, scale, torch.float32) for half, scale in zip(halves, SCALES, strict=True)]
        truth = Scene(scene.batch, scene.spans, torch.stack(known, dim=2), scene.query).truth(None)
        cache = stored[:, 1]
        reach = find_reach(scene.batch, cache, None)
        out = paged_attention(scene.query, cache, reach, shape[2] ** -0.5, None, SCALES)
        return distance(out, truth), TOLERANCE[dtype]

    return error


def _dense(tokens: int, shape: tuple[int, int, int, int], device: torch.device) -> Callable[[], tuple[float, float]]:
    num_heads, num_kv_heads, head_dim, _ = shape

    def error() -> tuple[float, float]:
        qkv = random(tokens, num_heads + 2 * num_kv_heads, head_dim, dtype=torch.bfloat16, device=device)
        query, key_value = qkv[:, :num_heads], qkv[:, num_heads:].view(tokens, 2, num_kv_heads, head_dim)
        truth = reference_dense.dense_attention(query.float(), key_value.float(), 0.1)
        return distance(dense_attention(query, key_value, 0.1), truth), TOLERANCE[torch.bfloat16]

    return error
