"""Times other launches of the kernels on this device: what the launch table is to hold for it.

`python -m loadtest.gpu.sweep`. For each kernel, the candidates in turns, three rounds, medians; the table's own row is
among them. It prints what was measured and changes nothing: the winner goes into common/kernels/launch.py by hand.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import median

import torch

from common.kernels.launch import BY_CAPABILITY, Launch, capability, launch_of, refusals
from common.kernels.small_linear import SmallLinear
from loadtest.gpu.attention_rows import attention_case
from loadtest.gpu.ceilings import graphed, random_bytes, seconds

ROUNDS = 3
COLUMNS, DEPTH = 4096, 14336
FP8 = torch.float8_e4m3fn
Work = Callable[[], object]


def candidates(own: Launch, **choices: tuple[int, ...]) -> list[Launch]:
    """The table's row, and every combination of the choices."""
    found = [replace(own, **dict(zip(choices, values, strict=True))) for values in product(*choices.values())]
    return [own, *(launch for launch in found if launch != own)]


@contextmanager
def launched_as(kernel: str, device: torch.device, launch: Launch) -> Iterator[None]:
    """While it lasts, the kernel is launched so."""
    rows = BY_CAPABILITY.setdefault(capability(device), {})
    before = rows.get(kernel)
    rows[kernel] = launch
    try:
        yield
    finally:
        if before is None:
            del rows[kernel]
        else:
            rows[kernel] = before


def sweep(kernel: str, device: torch.device, launches: list[Launch], make: Callable[[], Work]) -> None:
    """`make` prepares the work anew for each launch, since a launch may decide what is prepared."""
    times: dict[Launch, list[float]] = {launch: [] for launch in launches}
    failures: tuple[type[Exception], ...] = (RuntimeError, ValueError, *refusals())
    for _ in range(ROUNDS):
        for launch in list(times):
            try:
                with launched_as(kernel, device, launch):
                    times[launch].append(seconds(graphed(make()), samples=5))
            except failures as error:
                del times[launch]
                print(f"{kernel} {launch}: {(str(error).splitlines() or ['failed'])[0][:100]}")
    for launch, series in sorted(times.items(), key=lambda pair: median(pair[1])):
        mark = "  <- the table's" if launch == launches[0] else ""
        print(f"{kernel} {median(series) * 1e6:9.1f} us  {launch}{mark}", flush=True)


def products_case(device: torch.device, rows: int) -> Callable[[], Callable[[], list[torch.Tensor]]]:
    """One product after the other, each with a weight of its own: more of them than the cache holds."""
    weights = [random_bytes(2 * COLUMNS * DEPTH, device).view(COLUMNS, DEPTH) for _ in range(5)]
    x, small = random_bytes(2 * rows * DEPTH, device).view(rows, DEPTH), SmallLinear(device)
    return lambda: lambda: [small(x, weight) for weight in weights]


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device that torch can use: there is nothing to time")
        return 1
    device = torch.device("cuda", 0)
    for kernel, dtype in (("decode_attention", torch.bfloat16), ("decode_attention_fp8", FP8)):
        launches = candidates(launch_of(kernel, device), tile=(32, 64, 128), stages=(3, 4), resident=(1, 2, 3))
        sweep(kernel, device, launches, partial(attention_case, device, dtype, [2048] * 64))
    for kernel, rows in (("small_linear", 1), ("small_linear", 16), ("small_linear_wide", 64)):
        launches = candidates(launch_of(kernel, device), tile=(32, 64, 128), depth=(64, 128), stages=(3, 4, 6))
        sweep(kernel, device, launches, products_case(device, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
