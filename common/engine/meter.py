"""What a device's memory is used for, as its driver and torch count it."""

import gc
from typing import Protocol

import torch


class Meter(Protocol):
    """Bytes. `taken` is what torch took from the driver, `peak` the most of it since `mark`."""

    def total(self) -> int: ...

    def free(self) -> int: ...

    def taken(self) -> int: ...

    def mark(self) -> None: ...

    def peak(self) -> int: ...

    def release(self) -> None:
        """Torch gives back what it only keeps for later."""
        ...


class CudaMeter:
    """Of one device of this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def total(self) -> int:
        return int(torch.cuda.mem_get_info(self._device)[1])

    def free(self) -> int:
        torch.cuda.synchronize(self._device)
        return int(torch.cuda.mem_get_info(self._device)[0])

    def taken(self) -> int:
        return torch.cuda.memory_reserved(self._device)

    def mark(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_reserved(self._device)

    def release(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()
