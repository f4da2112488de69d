"""Measures the connections two workers have in common and puts the fastest first. Owns what is said about slow ones.

Knows nothing of endpoints: it is given connections.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kvtransfer.transports.contract import FetchingTransport, TransportFailed

SAMPLE_BYTES = 4 << 20
MAX_SAMPLE_BLOCKS = 64
NUM_SAMPLES = 3
SLOW_SHARE = 0.1
"""Below this share of what copying memory could do, a connection is called slow. Samples are small enough to stay in
caches, where a plain copy outruns a verified one several times."""
ADVICE = {
    "cuda_ipc": "do the two devices lie on different sockets, or is one of them busy?",
    "nccl": "see NCCL_DEBUG=INFO for the way it chose",
    "shm": "is the machine busy, or do workers share cores?",
    "tcp": "run both workers on one host, as one user, with shm among their transports",
}

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """A connection and what it carried per second, verified."""

    transport: FetchingTransport
    bytes_per_s: float


async def measure(transports: Sequence[FetchingTransport], block_bytes: int, warn: Warn) -> tuple[Measured, ...]:
    """Usable connections, the fastest first. Best of a few samples each: one sample may meet a busy core."""
    num_blocks = min(MAX_SAMPLE_BLOCKS, max(1, SAMPLE_BYTES // block_bytes))
    results = []
    for transport in transports:
        try:
            samples = [await transport.measure(num_blocks) for _ in range(NUM_SAMPLES)]
        except TransportFailed as failure:
            warn(f"transport {transport.name} cannot be used: {failure.reason}")
        else:
            results.append(Measured(transport, max(samples)))
    results.sort(key=lambda measured: -measured.bytes_per_s)
    if results:
        _judge(results[0], await asyncio.to_thread(copy_bytes_per_s, num_blocks * block_bytes), warn)
    return tuple(results)


def copy_bytes_per_s(num_bytes: int) -> float:
    """What one thread of this process copies in memory, now."""
    source, target = np.ones(num_bytes, np.uint8), np.zeros(num_bytes, np.uint8)
    speeds = []
    for _ in range(NUM_SAMPLES):
        started = time.perf_counter()
        target[:] = source
        speeds.append(num_bytes / (time.perf_counter() - started))
    return max(speeds)


def _judge(best: Measured, ceiling: float, warn: Warn) -> None:
    share = best.bytes_per_s / ceiling
    if share < SLOW_SHARE:
        warn(
            f"SLOW HAND-OFF: KV arrives over {best.transport.name} at {best.bytes_per_s / 1e9:.2f} GB/s,"
            f" {share:.0%} of the {ceiling / 1e9:.1f} GB/s this machine copies in memory;"
            f" {ADVICE[best.transport.name]}"
        )
