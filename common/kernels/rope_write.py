"""Norms and rotates queries and keys, and writes keys and values to their slots, in one launch."""

import torch
import triton
import triton.language as tl

from common.kernels.batch import Batch
from common.kernels.fp8 import encode_e4m3
from common.kernels.launch import launch_of, power_of_two
from common.kernels.reference.fp8 import FP8, KVScales


@triton.jit
def rope_write_kernel(
    qkv: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    cache: tl.tensor,
    slot_blocks: tl.tensor,
    slot_offsets: tl.tensor,
    qk_norm: tl.tensor,
    qkv_stride: tl.tensor,
    rope_stride: tl.tensor,
    block_stride: tl.tensor,
    half_stride: tl.tensor,
    head_stride: tl.tensor,
    slot_stride: tl.tensor,
    num_heads: tl.tensor,
    num_kv_heads: tl.tensor,
    eps: tl.tensor,
    key_scale: tl.tensor,
    value_scale: tl.tensor,
    HALF: tl.constexpr,
    HALF_TILE: tl.constexpr,
    HEADS: tl.constexpr,
    NORM: tl.constexpr,
    QUANTISE: tl.constexpr,
) -> None:
    """A program takes HEADS heads of one token; a head is two halves that turn against each other."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    lane = tl.arange(0, HALF_TILE)
    is_key = (head >= num_heads) & (head < num_heads + num_kv_heads)
    is_value = head >= num_heads + num_kv_heads
    inside = (head < num_heads + 2 * num_kv_heads)[:, None] & (lane < HALF)[None, :]
    place = qkv + token * qkv_stride + head[:, None] * (2 * HALF) + lane[None, :]
    first = tl.load(place, mask=inside, other=0.0)
    second = tl.load(place + HALF, mask=inside, other=0.0)
    turned_first, turned_second = first.to(tl.float32), second.to(tl.float32)
    if NORM:
        squares = tl.sum(turned_first * turned_first + turned_second * turned_second, axis=1)
        scale = 1.0 / tl.sqrt_rn(squares / (2 * HALF) + eps)
        weights = qk_norm + is_key.to(tl.int32)[:, None] * (2 * HALF) + lane[None, :]
        first_weight = tl.load(weights, mask=inside, other=0.0).to(tl.float32)
        second_weight = tl.load(weights + HALF, mask=inside, other=0.0).to(tl.float32)
        # rounded here, as a norm of its own would
        turned_first = (turned_first * scale[:, None] * first_weight).to(qkv.dtype.element_ty).to(tl.float32)
        turned_second = (turned_second * scale[:, None] * second_weight).to(qkv.dtype.element_ty).to(tl.float32)
    angle_cos = tl.load(cos + token * rope_stride + lane, mask=lane < HALF, other=0.0)[None, :]
    angle_sin = tl.load(sin + token * rope_stride + lane, mask=lane < HALF, other=0.0)[None, :]
    new_first = (turned_first * angle_cos - turned_second * angle_sin).to(qkv.dtype.element_ty)
    new_second = (turned_second * angle_cos + turned_first * angle_sin).to(qkv.dtype.element_ty)
    turned = inside & (~is_value)[:, None]
    tl.store(place, new_first, mask=turned)
    tl.store(place + HALF, new_second, mask=turned)

    block = tl.load(slot_blocks + token)
    offset = tl.load(slot_offsets + token)
    kv_head = head - tl.where(is_value, num_heads + num_kv_heads, num_heads)
    target = cache + block * block_stride + offset * slot_stride
    target += is_value.to(tl.int64)[:, None] * half_stride + kv_head.to(tl.int64)[:, None] * head_stride + lane[None, :]
    written = inside & (head >= tl.where(block >= 0, num_heads, 1 << 30))[:, None]
    low = tl.where(is_value[:, None], first, new_first)
    high = tl.where(is_value[:, None], second, new_second)
    if QUANTISE:
        divisor = tl.where(is_value, value_scale, key_scale)[:, None]
        tl.store(target, encode_e4m3(tl.div_rn(low.to(tl.float32), divisor)), mask=written)
        tl.store(target + HALF, encode_e4m3(tl.div_rn(high.to(tl.float32), divisor)), mask=written)
    else:
        tl.store(target, low.to(cache.dtype.element_ty), mask=written)
        tl.store(target + HALF, high.to(cache.dtype.element_ty), mask=written)


def rope_write(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    cache: torch.Tensor,
    batch: Batch,
    qk_norm: torch.Tensor | None,
    eps: float,
    kv_scales: KVScales = (1.0, 1.0),
) -> torch.Tensor:
    """As the reference. A token whose slot's block is negative is rotated but written nowhere: padding of a graph."""
    num_kv_heads, head_dim = cache.shape[2], cache.shape[4]
    heads = qkv.view(len(qkv), -1, head_dim)
    num_heads = heads.shape[1] - 2 * num_kv_heads
    if qkv.stride(1) != 1 or cache.stride(4) != 1 or cos.stride() != sin.stride() or cos.stride(1) != 1:
        raise ValueError("the elements of a head must lie side by side")
    if qk_norm is not None and not qk_norm.is_contiguous():
        raise ValueError("the norms' weights must be contiguous")
    launch = launch_of("rope_write", qkv.device)
    quantised = cache.dtype == FP8
    target = cache.view(torch.uint8) if quantised else cache
    block, half, head, slot = cache.stride()[:4]
    if len(qkv):
        rope_write_kernel[(len(qkv), triton.cdiv(heads.shape[1], launch.tile))](
            *(qkv, cos, sin, target, batch.slot_blocks, batch.slot_offsets, qkv if qk_norm is None else qk_norm),
            *(qkv.stride(0), cos.stride(0), block, half, head, slot, num_heads, num_kv_heads, eps, *kv_scales),
            HALF=head_dim // 2,
            HALF_TILE=power_of_two(head_dim // 2),
            HEADS=launch.tile,
            NORM=qk_norm is not None,
            QUANTISE=quantised,
            **launch.options,
        )
    return heads[:, :num_heads]
