"""Which implementation of each op runs on which device. Chosen once, at load; never looked up by name."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import torch

from common.kernels.batch import Batch
from common.kernels.native.library import library
from common.kernels.reference.add_rms_norm import add_rms_norm
from common.kernels.reference.paged_attention import paged_attention
from common.kernels.reference.reach import Reach, find_reach
from common.kernels.reference.rms_norm import rms_norm
from common.kernels.reference.rope_write import rope_write
from common.kernels.reference.silu_mul import silu_mul

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Kernels:
    """One function per op; what each computes is said where its reference stands."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    add_rms_norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    rope_write: Callable[[Tensor, Tensor, Tensor, Tensor, Batch, Tensor | None, float], Tensor]
    find_reach: Callable[[Batch, Tensor, int | None], Reach]
    paged_attention: Callable[[Tensor, Tensor, Reach, float], Tensor]
    silu_mul: Callable[[Tensor], Tensor]


REFERENCE = Kernels(rms_norm, add_rms_norm, rope_write, find_reach, paged_attention, silu_mul)


def kernels_for(device: torch.device) -> Kernels:
    """The fastest built implementation of each op for a device; the reference runs everywhere."""
    return REFERENCE


def native_library(device: torch.device) -> ctypes.CDLL | None:
    """The compiled kernels for a device; None where the reference serves."""
    return library() if device.type == "cpu" else None
