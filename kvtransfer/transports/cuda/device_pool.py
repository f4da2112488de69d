"""A KV pool on a device as transports see it, and the queue beside the step's that their copies go through.

A block is announced only once the step that computed it was waited for, and joins a batch only once its copy was: so
a copy's queue and the step's stream need not know of each other, and neither ever waits for the other on the device.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol

import torch

from common.cache.device_memory import DeviceMemory
from common.cache.driver import Driver


class Queue(Protocol):
    """Work on one device, in order, beside whatever else the device does. One thread uses it."""

    @property
    def stream(self) -> int:
        """As the driver names it."""
        ...

    def order(self) -> AbstractContextManager[object]:
        """What is launched within goes here, one after the other."""
        ...

    def wait(self) -> None:
        """Until all of it is done. The thread sleeps meanwhile."""
        ...


class CudaQueue:
    """A stream of its own, which waits for no other one and for which none waits."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    @property
    def stream(self) -> int:
        return int(self._stream.cuda_stream)

    def order(self) -> AbstractContextManager[object]:
        stack = ExitStack()
        stack.enter_context(torch.cuda.device(self._device))
        stack.enter_context(torch.cuda.stream(self._stream))
        return stack

    def wait(self) -> None:
        self._done.record(self._stream)
        self._done.synchronize()


@dataclass(frozen=True, slots=True, eq=False)
class DevicePool:
    """`blocks` is `[num_blocks, block_bytes]` uint8 on the device, the beginning of `memory`."""

    memory: DeviceMemory
    blocks: torch.Tensor
    layout: str
    make_queue: Callable[[], Queue]

    @property
    def num_blocks(self) -> int:
        return int(self.blocks.shape[0])

    @property
    def block_bytes(self) -> int:
        return int(self.blocks.shape[1])

    @property
    def driver(self) -> Driver:
        return self.memory.driver

    def pinned(self, num_blocks: int) -> torch.Tensor:
        """Host memory that the device reads and writes by itself, `[num_blocks, block_bytes]`."""
        return torch.empty(num_blocks, self.block_bytes, dtype=torch.uint8, pin_memory=self.blocks.is_cuda)

    def upload(self, numbers: list[int]) -> torch.Tensor:
        """Block numbers where a kernel reads them."""
        ids = torch.tensor(numbers, dtype=torch.int64)
        return ids.pin_memory().to(self.blocks.device, non_blocking=True) if self.blocks.is_cuda else ids


def make_device_pool(memory: DeviceMemory, num_blocks: int, block_bytes: int, layout: str) -> DevicePool:
    """What lies behind the blocks in the same memory is not lent."""
    device = memory.driver.device
    blocks = memory.content[: num_blocks * block_bytes].view(num_blocks, block_bytes)
    return DevicePool(memory, blocks, layout, lambda: CudaQueue(device))
