"""Where a lender that sends reads blocks: a pool in host memory as it lies there, or a device's by way of a copy.

One per connection. Knows nothing of connections.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from kvtransfer.transports.contract import PoolBytes
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.pools import Pool

HOST_BATCH_BYTES = 1 << 20
DEVICE_BATCH_BYTES = 8 << 20


class Outbox(Protocol):
    """At most `max_blocks` at a time; what was read is good until the next read."""

    @property
    def max_blocks(self) -> int: ...

    async def read(self, blocks: Sequence[int]) -> list[memoryview]: ...


class HostOutbox:
    """Views of the pool itself."""

    def __init__(self, pool: PoolBytes) -> None:
        self._blocks = pool.blocks
        self.max_blocks = max(1, HOST_BATCH_BYTES // pool.block_bytes)

    async def read(self, blocks: Sequence[int]) -> list[memoryview]:
        return [self._blocks[block].data for block in blocks]


class DeviceOutbox:
    """Page-locked memory that the device copies blocks into, on a queue of its own; the loop goes on meanwhile."""

    def __init__(self, pool: DevicePool) -> None:
        self._pool = pool
        self.max_blocks = max(1, DEVICE_BATCH_BYTES // pool.block_bytes)
        self._queue = pool.make_queue()
        self._staged = pool.pinned(self.max_blocks)

    async def read(self, blocks: Sequence[int]) -> list[memoryview]:
        copying = asyncio.get_running_loop().run_in_executor(None, self._copy, tuple(blocks))
        try:
            await asyncio.shield(copying)
        except asyncio.CancelledError:
            await asyncio.wait([copying])  # the memory must outlive the copy into it
            raise
        rows = self._staged.numpy()
        return [rows[place].data for place in range(len(blocks))]

    def _copy(self, blocks: tuple[int, ...]) -> None:
        with self._queue.order():
            for place, block in enumerate(blocks):
                self._staged[place].copy_(self._pool.blocks[block], non_blocking=True)
        self._queue.wait()


def outbox_for(pool: Pool) -> Outbox:
    if isinstance(pool, DevicePool):
        return DeviceOutbox(pool)
    return HostOutbox(pool)
