"""How fast KV blocks travel between two processes: shm and tcp, against memcpy and a bare socket (row C8).

Every repetition measures all ways one after the other, and ratios are taken within a repetition: what else the machine
does hits them alike. memcpy is one thread's, whichever is faster of all bytes at once and block by block. A hand-off
verifies what it copies, in the same pass where there is native code; the way without is measured too. The bare socket
carries bytes that nobody looks at, from one process into the other's memory.
"""

import asyncio
import contextlib
import json
import mmap
import os
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

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
Speeds = Mapping[str, float]
"""Bytes per second, way by way."""


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
    print(" block  order         memcpy | Python  of memcpy | verified  of memcpy |    tcp  verified/tcp | socket")
    async with _lending_process() as offers:
        plain = socket.create_connection(("127.0.0.1", int(offers["socket"]["port"][0])))
        for block_bytes in BLOCK_BYTES:
            pool = PoolBytes(None, own.reshape(-1, block_bytes), str(block_bytes))
            fetchers = await _connect(pool, offers[str(block_bytes)])
            for order in ("contiguous", "scattered"):
                stretches = _stretches(pool, order)
                for stretch in stretches:
                    await fetchers["shm"].fetch(ATTEMPT, stretch)
                rows = [await _row(clock, pool, stretches, place, fetchers, plain) for place in range(num_repetitions)]
                _report(block_bytes, order, rows)
                if block_bytes == JUDGED_BYTES:
                    measured += _measured(order, rows)
            for fetcher in fetchers.values():
                await fetcher.close()
        plain.close()
    return measured


def _measured(order: str, rows: Sequence[Speeds]) -> list[Measured]:
    """Ratios within repetitions."""
    name = f"{JUDGED_BYTES >> 10} KiB blocks, {order}"

    def over(own: str, other: str) -> tuple[float, ...]:
        return tuple(row[own] / row[other] for row in rows)

    return [
        Measured("C8", f"shm hand-off, verified / one-thread memcpy, {name}", over("shm", "memcpy"), "", 0.8, 0.95),
        Measured("C8", f"the same without native code, {name}", over("portable", "memcpy"), ""),
        Measured("C8", f"shm / tcp over loopback, both verified, {name}", over("shm", "tcp"), "", 3),
        Measured("C8", f"shm, verified / a bare socket over loopback, {name}", over("shm", "socket"), "", 3),
    ]


async def _row(
    clock: Clock,
    pool: PoolBytes,
    stretches: Sequence[Sequence[Pair]],
    place: int,
    fetchers: Mapping[str, FetchingTransport],
    plain: socket.socket,
) -> Speeds:
    """Bytes per second of each way, on stretches far apart."""
    count = len(stretches)
    flat = pool.blocks.reshape(-1, FETCH_BYTES)

    def stretch(far: int) -> Sequence[Pair]:
        return stretches[(place + far) % count]

    def speed(began: float) -> float:
        return FETCH_BYTES / (clock() - began)

    began = clock()
    flat[place % count] = flat[(place + count // 2) % count]
    whole = speed(began)
    began = clock()
    for source, target in zip(stretch(2), stretch(6), strict=True):
        pool.blocks[target.target] = pool.blocks[source.source.block]
    speeds = {"memcpy": max(whole, speed(began))}
    for far, (name, fetcher) in enumerate(fetchers.items()):
        pairs = stretch(2 * far + 1)
        began = clock()
        await fetcher.fetch(ATTEMPT, pairs)
        speeds[name] = speed(began)
    began = clock()
    plain.sendall(b"?")
    left = memoryview(flat[(place + 7) % count])
    while left:
        left = left[plain.recv_into(left) :]
    speeds["socket"] = speed(began)
    return speeds


def _report(block_bytes: int, order: str, rows: Sequence[Speeds]) -> None:
    memcpy, portable, shm, tcp, plain = (
        statistics.median(row[name] for row in rows) / 1e9 for name in ("memcpy", "portable", "shm", "tcp", "socket")
    )
    of_memcpy, verified, over_tcp = (
        statistics.median(row[above] / row[below] for row in rows)
        for above, below in (("portable", "memcpy"), ("shm", "memcpy"), ("shm", "tcp"))
    )
    line = f"{block_bytes >> 10:>5}K  {order:<12} {memcpy:>7.2f} |{portable:>7.2f}  {of_memcpy:>9.2f} |"
    print(f"{line} {shm:>8.2f}  {verified:>9.2f} |{tcp:>7.2f}  {over_tcp:>8.1f} |{plain:>7.2f}", flush=True)


async def _connect(pool: PoolBytes, offers: dict[str, tuple[str, str]]) -> dict[str, FetchingTransport]:
    def hello(name: str) -> Hello:
        ticket = bytes.fromhex(offers[name][1])
        return Hello(LENDER_EPOCH, FETCHER_EPOCH, pool.layout, pool.block_bytes, ticket)

    return {
        "portable": await ShmFetcher.connect(offers["shm"][0], hello("shm"), pool, digest=_without_native_code),
        "shm": await ShmFetcher.connect(offers["shm"][0], hello("shm"), pool),
        "tcp": await TcpFetcher.connect(offers["tcp"][0], hello("tcp"), pool),
    }


def _without_native_code(block: Bytes) -> int:
    """Native code is for the checksum by its own name."""
    return block_checksum(block)


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
    offers = {"socket": {"port": (str(_stream(memory[:FETCH_BYTES])), "")}}
    for block_bytes in BLOCK_BYTES:
        pool = PoolBytes(fd, memory.reshape(-1, block_bytes), str(block_bytes))
        transports = lending_transports(("shm", "tcp"), pool, LENDER_EPOCH, lambda *_: True)
        for transport in transports:
            await transport.start()
        offers[str(block_bytes)] = {t.name: (t.endpoint(), t.ticket(FETCHER_EPOCH).hex()) for t in transports}
    print(json.dumps(offers), flush=True)
    await asyncio.Event().wait()


def _stream(content: Bytes) -> int:
    """Sends it to whoever connects, each time a byte asks for it; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        while connection.recv(1):
            connection.sendall(content.data)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


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
