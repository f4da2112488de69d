"""A lender's pool mapped into this process, and the two ways out of it: a kernel, or the copy engines.

On one device our own kernel reads the lender's blocks, writes ours and sums up what it moved, all in one pass. From
another device whole stretches are copied by the engines, which use the fastest link there is, and summed up here.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from common.kernels.blocks import block_checksums, block_kernels
from common.types.kv import Pair
from kvtransfer.transports.copying import runs
from kvtransfer.transports.cuda.device_pool import DevicePool


class Mapped(Protocol):
    """All calls come from one thread, within the order of one queue; nothing here waits."""

    def carry(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """Starts a copy into the own pool; [n] int64 checksums of the blocks that arrive."""
        ...

    def sample(self, num_blocks: int, scratch: torch.Tensor) -> torch.Tensor:
        """The same of the lender's first blocks, into memory that is thrown away."""
        ...


class SameDevice:
    """Both pools lie on one device."""

    def __init__(self, own: DevicePool, pointer: int, num_blocks: int) -> None:
        self._own = own
        self._source = own.driver.view(pointer, num_blocks * own.block_bytes).view(num_blocks, own.block_bytes)
        self._kernels = block_kernels(own.blocks.device)

    def carry(self, pairs: Sequence[Pair]) -> torch.Tensor:
        sums = torch.empty(len(pairs), dtype=torch.int64, device=self._own.blocks.device)
        sources = self._own.upload([pair.source.block for pair in pairs])
        targets = self._own.upload([pair.target for pair in pairs])
        self._kernels.copy_blocks(self._source, sources, self._own.blocks, targets, sums)
        return sums

    def sample(self, num_blocks: int, scratch: torch.Tensor) -> torch.Tensor:
        sums = torch.empty(num_blocks, dtype=torch.int64, device=scratch.device)
        self._kernels.gather_blocks(self._source, self._own.upload(list(range(num_blocks))), scratch, sums)
        return sums


class OtherDevice:
    """The lender's pool lies on another device of this host that this one can read."""

    def __init__(self, own: DevicePool, pointer: int, stream: int) -> None:
        self._own = own
        self._pointer = pointer
        self._stream = stream

    def carry(self, pairs: Sequence[Pair]) -> torch.Tensor:
        numbers = ((pair.source.block, pair.target) for pair in pairs)
        for source, target, length in runs(numbers, len(pairs)):
            self._copy(self._own.blocks.data_ptr() + target * self._own.block_bytes, source, length)
        return block_checksums(self._own.blocks, self._own.upload([pair.target for pair in pairs]))

    def sample(self, num_blocks: int, scratch: torch.Tensor) -> torch.Tensor:
        self._copy(scratch.data_ptr(), 0, num_blocks)
        return block_checksums(scratch, self._own.upload(list(range(num_blocks))))

    def _copy(self, target: int, source: int, length: int) -> None:
        num_bytes = self._own.block_bytes
        self._own.driver.copy(target, self._pointer + source * num_bytes, length * num_bytes, self._stream)
