"""How fast KV blocks travel between two processes: shm and tcp loopback, against one-thread memcpy in the same run.

Every repetition measures all ways one after the other, and ratios are taken within a repetition: what else the machine
does hits them alike. Targets: shm copy at 0.8 of memcpy (aim 0.95) and three times tcp.
"""

import asyncio
import contextlib
import json
import mmap
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from common.cache.checksum import block_checksum
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.contract import Bytes, FetchingTransport, PoolBytes
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.shm_fetch import ShmFetcher
from kvtransfer.transports.table import lending_transports
from kvtransfer.transports.tcp_fetch import TcpFetcher
from loadtest.micro._rows import Measured

POOL_BYTES = 512 << 20
FETCH_BYTES = 64 << 20
"""Each measurement takes the next stretch of the pools, so that none finds its blocks in a cache."""
BLOCK_BYTES = (64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20)
NUM_REPETITIONS = 31
JUDGED_BYTES = 256 << 10
"""A block of 16 tokens of the 135 M model has 360 KiB."""
LENDER_EPOCH, FETCHER_EPOCH = 1, 2
ATTEMPT = AttemptId("r-bench", 1)

Clock = Callable[[], float]


def run(repetitions: str = str(NUM_REPETITIONS), clock: str = "wall") -> list[Measured]:
    """Prints a line per block size and order of blocks.

    On a busy machine the clock "cpu" counts this process's own time: it leaves out waiting for a core, and for tcp the
    lender's half of the work.
    """
    if repetitions == "lend":
        asyncio.run(_lend())
        return []
    return asyncio.run(_measure(int(repetitions), time.process_time if clock == "cpu" else time.perf_counter))


async def _measure(num_repetitions: int, clock: Clock) -> list[Measured]:
    measured: list[Measured] = []
    own = _memory(0)
    print(f"{FETCH_BYTES >> 20} MiB per fetch, medians of {num_repetitions}, GB/s; ratios are medians of ratios")
    print(" block  order         memcpy |    shm  of memcpy | verified  of memcpy |    tcp   shm/tcp (both verified)")
    async with _lending_process() as offers:
        for block_bytes in BLOCK_BYTES:
            pool = PoolBytes(None, own.reshape(-1, block_bytes), str(block_bytes))
            shm, bare, tcp = await _connect(pool, offers[str(block_bytes)])
            for order in ("contiguous", "scattered"):
                stretches = _stretches(pool, order)
                for stretch in stretches:
                    await shm.fetch(ATTEMPT, stretch)
                rows = [await _row(clock, pool, stretches, place, bare, shm, tcp) for place in range(num_repetitions)]
                _report(block_bytes, order, rows)
                if block_bytes == JUDGED_BYTES:
                    measured += _measured(order, rows)
            for fetcher in (shm, bare, tcp):
                await fetcher.close()
    return measured


def _measured(order: str, rows: Sequence[Sequence[float]]) -> list[Measured]:
    """Bytes a second of a copy against memcpy, and of verified fetches against each other."""
    name = f"{JUDGED_BYTES >> 10} KiB blocks, {order}"
    of_memcpy = tuple(bare / memcpy for memcpy, bare, _, _ in rows)
    over_tcp = tuple(shm / tcp for _, _, shm, tcp in rows)
    return [
        Measured("C8", f"shm copy / one-thread memcpy, {name}", of_memcpy, "", 0.8, 0.95),
        Measured("C8", f"shm / tcp over loopback, both verified, {name}", over_tcp, "", 3, 3),
    ]


async def _row(
    clock: Clock, pool: PoolBytes, stretches: Sequence[Sequence[Pair]], place: int, *fetchers: FetchingTransport
) -> list[float]:
    """Bytes per second of each way, on stretches far apart."""
    bare, *verified = fetchers
    count = len(stretches)
    flat = pool.blocks.reshape(-1, FETCH_BYTES)
    started = clock()
    flat[place % count] = flat[(place + count // 2) % count]
    speeds = [FETCH_BYTES / (clock() - started)]
    unsummed = [Pair(BlockRef(pair.source.block, 1, 0), pair.target) for pair in stretches[(place + 2) % count]]
    started = clock()
    await bare.fetch(ATTEMPT, unsummed)
    speeds.append(FETCH_BYTES / (clock() - started))
    for way, fetcher in enumerate(verified):
        started = clock()
        await fetcher.fetch(ATTEMPT, stretches[(place + 4 + 2 * way) % count])
        speeds.append(FETCH_BYTES / (clock() - started))
    return speeds


def _report(block_bytes: int, order: str, rows: Sequence[Sequence[float]]) -> None:
    memcpy, bare, shm, tcp = (statistics.median(row[i] for row in rows) / 1e9 for i in range(4))
    of_memcpy, verified, over_tcp = (
        statistics.median(row[above] / row[below] for row in rows) for above, below in ((1, 0), (2, 0), (2, 3))
    )
    line = f"{block_bytes >> 10:>5}K  {order:<12} {memcpy:>7.2f} |{bare:>7.2f}  {of_memcpy:>9.2f} |"
    print(f"{line} {shm:>8.2f}  {verified:>9.2f} |{tcp:>7.2f}  {over_tcp:>8.1f}", flush=True)


async def _connect(
    pool: PoolBytes, offers: dict[str, tuple[str, str]]
) -> tuple[FetchingTransport, FetchingTransport, FetchingTransport]:
    def hello(name: str) -> Hello:
        ticket = bytes.fromhex(offers[name][1])
        return Hello(LENDER_EPOCH, FETCHER_EPOCH, pool.layout, pool.block_bytes, ticket)

    shm = await ShmFetcher.connect(offers["shm"][0], hello("shm"), pool)
    bare = await ShmFetcher.connect(offers["shm"][0], hello("shm"), pool, digest=lambda _: 0)
    return shm, bare, await TcpFetcher.connect(offers["tcp"][0], hello("tcp"), pool)


def _stretches(pool: PoolBytes, order: str) -> list[list[Pair]]:
    """All blocks in as many copies; the lender's contents are random, made from the same seed here."""
    sources, targets = list(range(pool.num_blocks)), list(range(pool.num_blocks))
    if order == "scattered":
        random.Random(1).shuffle(sources)
        random.Random(2).shuffle(targets)
    checksums = [block_checksum(block) for block in _contents().reshape(pool.blocks.shape)]
    pairs = [
        Pair(BlockRef(source, 1, checksums[source]), target) for source, target in zip(sources, targets, strict=True)
    ]
    length = FETCH_BYTES // pool.block_bytes
    return [pairs[first : first + length] for first in range(0, len(pairs), length)]


@contextlib.asynccontextmanager
async def _lending_process() -> AsyncIterator[dict[str, dict[str, tuple[str, str]]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.micro", "transports", "lend"), stdout=asyncio.subprocess.PIPE
    )
    try:
        output = await asyncio.wait_for(_first_line(process), 60)
        yield json.loads(output)
    finally:
        process.kill()
        await process.wait()


async def _first_line(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise RuntimeError("the lender has no output")
    return await process.stdout.readline()


async def _lend() -> None:
    """The lender's process: the same memory under every block size."""
    fd = _memfd()
    memory = np.frombuffer(mmap.mmap(fd, POOL_BYTES), np.uint8)
    memory[:] = _contents()
    offers = {}
    for block_bytes in BLOCK_BYTES:
        pool = PoolBytes(fd, memory.reshape(-1, block_bytes), str(block_bytes))
        transports = lending_transports(("shm", "tcp"), pool, LENDER_EPOCH, lambda *_: True)
        for transport in transports:
            await transport.start()
        offers[str(block_bytes)] = {t.name: (t.endpoint(), t.ticket(FETCHER_EPOCH).hex()) for t in transports}
    print(json.dumps(offers), flush=True)
    await asyncio.Event().wait()


def _contents() -> Bytes:
    return np.random.default_rng(1).integers(0, 256, POOL_BYTES, np.uint8)


def _memory(value: int) -> Bytes:
    memory = np.frombuffer(mmap.mmap(_memfd(), POOL_BYTES), np.uint8)
    memory[:] = value
    return memory


def _memfd() -> int:
    fd = os.memfd_create("bench-pool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(fd, 0, POOL_BYTES)
    return fd


if __name__ == "__main__":
    run(*sys.argv[1:])
