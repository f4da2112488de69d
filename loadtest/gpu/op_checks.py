"""Checks of the ops around attention: norms, gate, rope and KV write, masks, block copies, small products."""

from collections.abc import Callable, Iterator

import torch

from common.kernels import copy_blocks, token_mask
from common.kernels.add_rms_norm import add_rms_norm
from common.kernels.batch import Batch, Span
from common.kernels.reference import add_rms_norm as reference_add
from common.kernels.reference import copy_blocks as reference_copy
from common.kernels.reference import rms_norm as reference_norm
from common.kernels.reference import rope_write as reference_rope
from common.kernels.reference import silu_mul as reference_gate
from common.kernels.reference import token_mask as reference_mask
from common.kernels.reference.fp8 import FP8, dequantise
from common.kernels.rms_norm import rms_norm
from common.kernels.rope_write import rope_write
from common.kernels.silu_mul import silu_mul
from common.kernels.small_linear import SmallLinear
from loadtest.gpu.checks import DTYPES, TOLERANCE, Check, distance, random, same, spread

ROWS = ((1, 64), (3, 577), (64, 4096), (257, 8192), (2, 14336))
PRODUCTS = ((1, 4096, 4096), (3, 100, 577), (16, 6144, 4096), (17, 1030, 4096), (64, 4096, 14336), (48, 70, 130))
# num_heads, num_kv_heads, head_dim, block_tokens
HEADS = ((32, 8, 128, 16), (9, 3, 64, 16), (16, 8, 128, 64), (7, 1, 80, 5), (64, 8, 128, 32))
Error = Callable[[], tuple[float, float]]


def op_checks(device: torch.device) -> Iterator[Check]:
    for dtype in DTYPES:
        for rows, columns in ROWS:
            yield Check("rms_norm, add_rms_norm and silu_mul", _rows(rows, columns, dtype, device))
    for dtype in DTYPES:
        for shape in HEADS:
            for normed in (False, True):
                yield Check("rope_write", _rope(shape, dtype, normed, dtype, device))
                yield Check("rope_write", _rope(shape, dtype, normed, FP8, device))
    for dtype in (torch.bfloat16, torch.float16):
        linear = SmallLinear(device)
        for product in PRODUCTS:
            yield Check("small_linear", _product(linear, product, dtype, device))
    for entries in (32, 1000, 128256):
        yield Check("token_mask", _mask(entries, device))
    for words in (2, 1026, 1 << 18):
        yield Check("copy_blocks", _blocks(words, device))


def _rows(rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Error:
    def error() -> tuple[float, float]:
        x, residual = (random(rows, columns, dtype=dtype, device=device, seed=seed) for seed in (1, 2))
        weight = random(columns, dtype=dtype, device=device, seed=3)
        normed = distance(rms_norm(spread(x), weight, 1e-5), reference_norm.rms_norm(x.double(), weight.double(), 1e-5))
        truth = residual.clone()
        own = spread(residual)
        expected = reference_add.add_rms_norm(x, truth, weight, 1e-5)
        added = distance(add_rms_norm(x, own, weight, 1e-5), expected) + same(own, truth)
        both = torch.cat((x, residual), dim=1)
        gated = distance(silu_mul(spread(both)), reference_gate.silu_mul(both.double()))
        return max(normed, added, gated), TOLERANCE[dtype]

    return error


def _rope(
    shape: tuple[int, int, int, int], dtype: torch.dtype, normed: bool, kv: torch.dtype, device: torch.device
) -> Error:
    num_heads, num_kv_heads, head_dim, block_tokens = shape

    def error() -> tuple[float, float]:
        spans = [Span([0], 70, range(20, 40)), Span([0] * 33, 9, range(40, 60)), Span([0], 0, [3])]
        batch = Batch.pack(spans, block_tokens, device)
        qkv = random(batch.num_tokens, (num_heads + 2 * num_kv_heads) * head_dim, dtype=dtype, device=device)
        angles = random(batch.num_tokens, head_dim // 2, device=device, seed=1)
        weights = random(2, head_dim, dtype=dtype, device=device, seed=2) if normed else None
        pool_shape = (60, 2, 2, num_kv_heads, block_tokens, head_dim)
        truth, own = (torch.zeros(pool_shape, dtype=kind, device=device) for kind in (dtype, kv))
        expected_rows, rows = qkv.clone(), qkv.clone()
        reference_rope.rope_write(expected_rows, angles.cos(), angles.sin(), truth[:, 1], batch, weights, 1e-6)
        scales = (0.05, 0.03) if kv == FP8 else (1.0, 1.0)
        rope_write(rows, angles.cos(), angles.sin(), own[:, 1], batch, weights, 1e-6, scales)
        turned = distance(rows, expected_rows)
        if kv != FP8:
            return max(turned, distance(own, truth)), TOLERANCE[dtype]
        halves = [dequantise(own[:, :, half], scale, torch.float32) for half, scale in enumerate(scales)]
        # three bits of fraction: off by at most 1/16, evenly spread
        return max(turned / TOLERANCE[dtype], distance(torch.stack(halves, dim=2), truth) / 0.04), 1.0

    return error


def _product(linear: SmallLinear, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> Error:
    rows, columns, depth = shape

    def error() -> tuple[float, float]:
        x, weight = (random(size, depth, dtype=dtype, device=device, seed=size) for size in (rows, columns))
        bias = random(columns, dtype=dtype, device=device, seed=5)
        truth = x.double() @ weight.double().t()
        plain = distance(linear(spread(x), weight), truth)
        return max(plain, distance(linear(x, weight, bias), truth + bias.double())), TOLERANCE[dtype]

    return error


def _mask(entries: int, device: torch.device) -> Error:
    def error() -> tuple[float, float]:
        rows = torch.tensor([5, 0, 3], device=device)
        words = torch.randint(-(2**31), 2**31, (3, -(-entries // 32)), device=device).int()
        truth = random(7, entries, device=device)
        own = truth.clone()
        reference_mask.token_mask(truth, rows, words)
        token_mask.token_mask(own, rows, words)
        return same(own, truth), 0.0

    return error


def _blocks(words: int, device: torch.device) -> Error:
    def error() -> tuple[float, float]:
        pool = torch.randint(-(2**62), 2**62, (40, words), device=device)
        order = torch.randperm(40, device=device)
        sources, targets = order[:11].clone(), order[11:22].clone()
        truth, sums, expected = pool.clone(), *(torch.zeros(11, dtype=torch.int64, device=device) for _ in range(2))
        reference_copy.copy_blocks(truth, sources, truth, targets, expected)
        staged = torch.empty(11, words, dtype=torch.int64, device=device)
        copy_blocks.gather_blocks(pool, sources, staged, sums)
        wrong = same(sums, expected) + same(staged, truth[sources])
        copy_blocks.scatter_blocks(staged, pool, targets, sums)
        wrong += same(sums, expected) + same(pool, truth)
        copy_blocks.copy_blocks(pool, sources, pool, targets, sums)
        return wrong + same(sums, expected) + same(pool, truth), 0.0

    return error
