"""What a second thread costs and brings: a native call on one thread and on two, after pauses of the calling thread.

The team's threads spin for some 40 microseconds after a call and sleep then: a call after a longer pause has to wake
them, and waits for whoever took their core. A product so small that it is all overhead shows the cost; one that reads
64 MB, the size of a few layers, shows what is won. Wall time, medians; for a machine with nothing else to do.
"""

import statistics
import time

import torch

from common.kernels.native.library import library
from common.kernels.native.ops import PackedLinear
from loadtest.micro._rows import Measured

PAUSES_US = (0, 100, 1000, 10_000)
NUM_CALLS = {0: 400, 100: 400, 1000: 200, 10_000: 50}
SMALL, LARGE = (64, 64), (32768, 1024)


def run() -> list[Measured]:
    """Prints a line per pause."""
    native = library()
    if native is None:
        return []
    rows = []
    products = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for size in (SMALL, LARGE):
            products[threads, size] = PackedLinear(native, torch.ones(size, dtype=torch.bfloat16))
            products[threads, size](torch.ones(1, size[1], dtype=torch.bfloat16))
    print("a native call of one row after a busy pause, one thread and two")
    print("  pause         overhead, us        64 MB, ms   ratio")
    for pause_us in PAUSES_US:
        found = {key: _median_us(products[key], key[0], key[1][1], pause_us) for key in products}
        ratio = found[1, LARGE] / found[2, LARGE]
        print(
            f"  {pause_us:>6} us {found[1, SMALL]:8.1f} {found[2, SMALL]:8.1f}"
            f" {found[1, LARGE] / 1e3:9.2f} {found[2, LARGE] / 1e3:8.2f} {ratio:7.2f}",
            flush=True,
        )
        over = found[2, SMALL] - found[1, SMALL]
        rows.append(Measured("", f"a second thread costs a call after a pause of {pause_us} us", (over,), "us"))
        rows.append(Measured("", f"64 MB read by a call, one thread / two, after {pause_us} us", (ratio,)))
    return rows


def _median_us(product: PackedLinear, threads: int, depth: int, pause_us: int) -> float:
    torch.set_num_threads(threads)
    row = torch.ones(1, depth, dtype=torch.bfloat16)
    times = []
    for _ in range(NUM_CALLS[pause_us] // (1 if depth < 1000 else 4)):
        ends = time.perf_counter() + pause_us / 1e6
        while time.perf_counter() < ends:
            continue
        began = time.perf_counter()
        product(row)
        times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(times)
