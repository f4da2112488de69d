"""A lender in a process of its own: `python -m tests.kvtransfer.lender_process KIND NUM_BLOCKS BLOCK_BYTES`."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kvtransfer.transports.contract import PoolBytes
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.memory import MemoryFabric
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH, make_lender
from tests.kvtransfer.pools import Loans, make_pool


@dataclass
class Child:
    """The process, and what it said of itself."""

    process: asyncio.subprocess.Process
    kind: str
    endpoint: str
    ticket: bytes
    source: PoolBytes

    def hello(self, own: PoolBytes) -> Hello:
        return Hello(EPOCH, FETCHER_EPOCH, own.layout, own.block_bytes, self.ticket)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def lending_process(kind: str, num_blocks: int, block_bytes: int) -> AsyncIterator[Child]:
    """Starts one; `source` here holds the same bytes as its pool."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kvtransfer.lender_process", kind, str(num_blocks), str(block_bytes)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe")
        said = json.loads(await process.stdout.readline())
        source = make_pool(num_blocks, block_bytes, seed=1)
        yield Child(process, kind, said["endpoint"], bytes.fromhex(said["ticket"]), source)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lend(kind: str, num_blocks: int, block_bytes: int) -> None:
    lender = make_lender(kind, make_pool(num_blocks, block_bytes, seed=1), Loans(), MemoryFabric())
    await lender.start()
    said = {"endpoint": lender.endpoint(), "ticket": lender.ticket(FETCHER_EPOCH).hex()}
    os.write(1, json.dumps(said).encode() + b"\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(lend(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
