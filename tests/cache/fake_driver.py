"""A device without a GPU: its memory is this process's own, its handles are tokens that a machine looks up.

Every driver of one machine stands for a process on it. As with a real one, a process cannot open its own handles.
"""

import ctypes
import secrets
from dataclasses import dataclass, field

import numpy as np
import torch

from common.cache.driver import HANDLE_BYTES, OUT_OF_MEMORY, DriverError

MAP_FAILED = 205
INVALID_CONTEXT = 201


@dataclass
class FakeMachine:
    """What the handles of one machine stand for: who exported it, and where it lies."""

    handles: dict[bytes, tuple["FakeDriver", int]] = field(default_factory=dict)


@dataclass(eq=False)
class FakeDriver:
    """`num_free_bytes` is what its device has left; `refusal` a code that every `open` answers with."""

    machine: FakeMachine
    identity: bytes = bytes(16)
    num_free_bytes: int = 1 << 30
    refusal: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    allocated: dict[int, "np.typing.NDArray[np.uint8]"] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    num_exports: int = 0

    def allocate(self, num_bytes: int) -> int:
        if num_bytes > self.num_free_bytes:
            raise DriverError("cuMemAlloc_v2", OUT_OF_MEMORY)
        self.num_free_bytes -= num_bytes
        memory = np.full(num_bytes, 0xCD, np.uint8)
        self.allocated[memory.ctypes.data] = memory
        return memory.ctypes.data

    def free(self, pointer: int) -> None:
        self.num_free_bytes += len(self.allocated.pop(pointer))

    def export(self, pointer: int) -> bytes:
        if pointer not in self.allocated:
            raise DriverError("cuIpcGetMemHandle", 1)
        self.num_exports += 1
        handle = secrets.token_bytes(HANDLE_BYTES)
        self.machine.handles[handle] = (self, pointer)
        return handle

    def open(self, handle: bytes) -> int:
        owner, pointer = self.machine.handles.get(handle, (None, 0))
        if self.refusal or owner is None or pointer not in owner.allocated:
            raise DriverError("cuIpcOpenMemHandle_v2", self.refusal or MAP_FAILED)
        if owner is self:
            raise DriverError("cuIpcOpenMemHandle_v2", INVALID_CONTEXT)
        self.opened.append(pointer)
        return pointer

    def close(self, pointer: int) -> None:
        self.opened.remove(pointer)

    def view(self, pointer: int, num_bytes: int) -> torch.Tensor:
        return torch.frombuffer((ctypes.c_ubyte * num_bytes).from_address(pointer), dtype=torch.uint8)

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        ctypes.memmove(target, source, num_bytes)
