"""One stretch of device memory for the KV pool: taken once, exported once, kept while a peer may look at it."""

import torch

from common.cache.driver import Driver, DriverError
from common.types.errors import StartupError

SHARED_UNIT = 2 << 20
"""Smaller allocations the driver may cut out of one piece, and a handle opens the whole piece: others' memory too."""


class DeviceMemory:
    """Zeroed. `tensor` is uint8 and the whole of it."""

    def __init__(self, driver: Driver, num_bytes: int) -> None:
        self.driver = driver
        self.num_bytes = num_bytes
        self._handle: bytes | None = None
        try:
            self.pointer = driver.allocate(-(-num_bytes // SHARED_UNIT) * SHARED_UNIT)
        except DriverError as error:
            raise StartupError(
                f"{num_bytes / 2**20:.0f} MiB of device memory for the KV pool cannot be had: {error}",
                "Lower kv_memory or device_share, or end what else uses the device",
            ) from error
        self.tensor: torch.Tensor | None = driver.view(self.pointer, num_bytes).zero_()

    @property
    def content(self) -> torch.Tensor:
        if self.tensor is None:
            raise RuntimeError("the pool is closed")
        return self.tensor

    def handle(self) -> bytes:
        """What a peer opens; the same whenever it is asked for. Raises `DriverError` where the driver refuses."""
        if self._handle is None:
            self._handle = self.driver.export(self.pointer)
        return self._handle

    def close(self) -> None:
        """Memory whose handle was given away stays until the process ends: a peer may still have it open, and the
        driver does not say what becomes of memory that is freed under it. May be called twice.
        """
        if self.tensor is not None:
            self.tensor = None
            if self._handle is None:
                self.driver.free(self.pointer)
