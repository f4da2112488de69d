"""Weights in the order the native product reads them, all in one stretch of memory of large pages.

Owns that memory. A weight given to it is emptied once it is packed: its storage is gone, whoever holds the tensor.
"""

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from common.kernels.native.structs import Linear

DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
PANEL = 32
_LARGE = 2 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """`[columns, depth]`; paired: its halves are a gate and what it gates. `shared`: also needed as it is."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    paired: bool = False
    shared: bool = False


class PackedWeights:
    """As many products as weights were given, in their order."""

    def __init__(self, library: ctypes.CDLL, weights: Sequence[Unpacked]) -> None:
        self._library = library
        self._biases: list[torch.Tensor] = []
        shapes = [Linear(*item.weight.shape, None, None, item.paired) for item in weights]
        sizes = [self._num_bytes(shape, item) for shape, item in zip(shapes, weights, strict=True)]
        # private: shared memory, which mmap makes otherwise, gets no large pages whatever is advised
        self._memory = mmap.mmap(-1, sum(sizes) + _LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.madvise(mmap.MADV_HUGEPAGE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        place = -(-first // _LARGE) * _LARGE
        for shape, size, item in zip(shapes, sizes, weights, strict=True):
            shape.panels = place
            self._pack(shape, item)
            place += size
        self.linears = tuple(shapes)

    def _num_bytes(self, shape: Linear, item: Unpacked) -> int:
        panels = self._library.baton_num_panels(ctypes.byref(shape))
        size: int = panels * PANEL * shape.depth * item.weight.element_size()
        return size

    def _pack(self, shape: Linear, item: Unpacked) -> None:
        weight = item.weight.contiguous()
        self._library.baton_pack(DTYPES[weight.dtype], weight.data_ptr(), ctypes.byref(shape), shape.panels)
        if item.bias is not None:
            bias = self._panel_order(item.bias.float(), item.paired)
            self._biases.append(bias)
            shape.bias = bias.data_ptr()
        if not item.shared:
            item.weight.untyped_storage().resize_(0)

    @staticmethod
    def _panel_order(bias: torch.Tensor, paired: bool) -> torch.Tensor:
        halves = bias.chunk(2) if paired else (bias,)
        width = PANEL // len(halves)
        padded = [torch.nn.functional.pad(half, (0, -len(half) % width)).view(-1, width) for half in halves]
        return torch.cat(padded, dim=1).reshape(-1).contiguous()
