"""Where a copy that runs on the host puts blocks: straight into a pool in host memory, or on their way to a device.

Used by one thread at a time, the copy's own. Knows nothing of connections.
"""

from collections.abc import Sequence
from typing import Protocol

from kvtransfer.transports.contract import Bytes, PoolBytes
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.pools import Pool

WINDOW_BYTES = 16 << 20


class Inbox(Protocol):
    """Blocks come some at a time: they are put down before the next ones are placed."""

    def place(self, targets: Sequence[int]) -> tuple[Bytes, Sequence[int]]:
        """Memory, and the row of it for each of these blocks of the own pool; rows of neighbours are neighbours."""
        ...

    def settle(self) -> None:
        """Everything put down so far is in the pool, and nothing writes there any more."""
        ...


class HostInbox:
    """The pool itself."""

    def __init__(self, pool: PoolBytes) -> None:
        self._blocks = pool.blocks

    def place(self, targets: Sequence[int]) -> tuple[Bytes, Sequence[int]]:
        return self._blocks, targets

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

    def place(self, targets: Sequence[int]) -> tuple[Bytes, Sequence[int]]:
        length = len(targets)
        if length > len(self._rows):
            raise ValueError("more blocks at a time than the window holds")
        if self._num_used + length > len(self._rows):
            self.settle()
        rows = range(self._num_used, self._num_used + length)
        for row, target in zip(rows, targets, strict=True):
            self._extend(row, target)
        self._num_used += length
        return self._rows, rows

    def _extend(self, row: int, target: int) -> None:
        """Neighbours travel on together."""
        if self._runs:
            first_row, first, length = self._runs[-1]
            if (row, target) == (first_row + length, first + length):
                self._runs[-1] = (first_row, first, length + 1)
                return
        self._runs.append((row, target, 1))

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
