"""Which implementation of each op runs on which device. Chosen once, at load; never looked up by name."""

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from common.kernels.batch import Batch
from common.kernels.native.library import library
from common.kernels.reference.add_rms_norm import add_rms_norm
from common.kernels.reference.paged_attention import paged_attention
from common.kernels.reference.reach import find_reach
from common.kernels.reference.rms_norm import rms_norm
from common.kernels.reference.rope_write import rope_write
from common.kernels.reference.silu_mul import silu_mul
from common.kernels.reference.small_linear import small_linear

Tensor = torch.Tensor
Reach = Any  # what `find_reach` returns, which only the same table's `paged_attention` reads

_log = logging.getLogger("baton.kernels")


@dataclass(frozen=True, slots=True)
class Kernels:
    """One function per op; what each computes is said where its reference stands."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    add_rms_norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    rope_write: Callable[[Tensor, Tensor, Tensor, Tensor, Batch, Tensor | None, float], Tensor]
    find_reach: Callable[[Batch, Tensor, int | None], Reach]
    paged_attention: Callable[[Tensor, Tensor, Reach, float, Tensor | None], Tensor]
    silu_mul: Callable[[Tensor], Tensor]
    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]


REFERENCE = Kernels(rms_norm, add_rms_norm, rope_write, find_reach, paged_attention, silu_mul, small_linear)


def kernels_for(device: torch.device) -> Kernels:
    """The fastest built implementation of each op for a device; the reference runs everywhere."""
    if device.type != "cuda":
        return REFERENCE
    if find_spec("triton") is None:
        _log.warning("triton is not installed, torch computes: pip install 'baton[gpu]'")
        return REFERENCE
    return _triton_kernels(device)


def _triton_kernels(device: torch.device) -> Kernels:
    from common.kernels import add_rms_norm, paged_attention, rms_norm, rope_write, silu_mul
    from common.kernels.small_linear import SmallLinear

    return Kernels(
        rms_norm.rms_norm,
        add_rms_norm.add_rms_norm,
        rope_write.rope_write,
        paged_attention.find_reach,
        paged_attention.paged_attention,
        silu_mul.silu_mul,
        SmallLinear(device),
    )


def native_library(device: torch.device) -> ctypes.CDLL | None:
    """The compiled kernels for a device; None where the reference serves."""
    return library() if device.type == "cpu" else None
