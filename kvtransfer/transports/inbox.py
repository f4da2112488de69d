"""Where a copy that runs on the host puts blocks: straight into a pool in host memory, or on their way to a device.

Used by one thread at a time, the copy's own. Knows nothing of connections.
"""

from typing import Protocol

from kvtransfer.transports.contract import Bytes, PoolBytes
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.pools import Pool

WINDOW_BYTES = 16 << 20


class Inbox(Protocol):
    """Blocks come in stretches that are neighbours in the own pool."""

    def place(self, target: int, length: int) -> tuple[Bytes, int]:
        """Memory for blocks `target` and its followers, and the row of it where they begin."""
        ...

    def settle(self) -> None:
        """Everything put down so far is in the pool, and nothing writes there any more."""
        ...


class HostInbox:
    """The pool itself."""

    def __init__(self, pool: PoolBytes) -> None:
        self._blocks = pool.blocks

    def place(self, target: int, length: int) -> tuple[Bytes, int]:
        return self._blocks, target

    def settle(self) -> None:
        """It is there already."""


class DeviceInbox:
    """A window of page-locked memory; the device copies it over when it is full, or asked to."""

    def __init__(self, pool: DevicePool, window_bytes: int = WINDOW_BYTES) -> None:
        self._pool = pool
        self._queue = pool.make_queue()
        self._staged = pool.pinned(max(1, window_bytes // pool.block_bytes))
        self._rows: Bytes = self._staged.numpy()
        self._runs: list[tuple[int, int, int]] = []
        self._num_used = 0

    def place(self, target: int, length: int) -> tuple[Bytes, int]:
        if length > len(self._rows):
            raise ValueError("a stretch is longer than the window")
        if self._num_used + length > len(self._rows):
            self.settle()
        row = self._num_used
        self._runs.append((row, target, length))
        self._num_used += length
        return self._rows, row

    def settle(self) -> None:
        if not self._runs:
            return
        with self._queue.order():
            for row, target, length in self._runs:
                self._pool.blocks[target : target + length].copy_(self._staged[row : row + length], non_blocking=True)
        self._queue.wait()
        self._runs, self._num_used = [], 0


def inbox_for(pool: Pool) -> Inbox:
    if isinstance(pool, DevicePool):
        return DeviceInbox(pool)
    return HostInbox(pool)
