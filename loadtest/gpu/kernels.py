"""Every Triton kernel against its reference on this device: random data, odd shapes, poisoned memory, all dtypes.

`python -m loadtest.gpu.kernels`: a line for each kernel and a row for the report; the exit code is 1 if any is wrong.
"""

import sys
from collections.abc import Iterator
from itertools import groupby

import torch

from common.kernels.launch import refusals
from loadtest.gpu.attention_checks import attention_checks
from loadtest.gpu.checks import Check
from loadtest.gpu.dense_rows import dense_rows
from loadtest.gpu.op_checks import op_checks
from loadtest.gpu.product_rows import product_rows
from loadtest.gpu.rows import Row
from loadtest.gpu.sampler_checks import sampler_checks
from loadtest.gpu.sampling_checks import sampling_checks


def checks(device: torch.device) -> Iterator[Check]:
    yield from op_checks(device)
    yield from attention_checks(device)
    yield from sampling_checks(device)
    yield from sampler_checks(device)


def run(device: torch.device) -> Iterator[Row]:
    """A row for each kernel."""
    # new memory holds NaN or the largest integer: what a kernel leaves unwritten shows
    torch.use_deterministic_algorithms(True, warn_only=True)
    failures: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError, AttributeError, *refusals())
    for name, group in groupby(checks(device), key=lambda check: check.name):
        worst, count, failed = 0.0, 0, ""
        for check in group:
            count += 1
            try:
                error, most = check.error()
                torch.cuda.synchronize(device)
            except failures as problem:
                failed = (str(problem).splitlines() or [type(problem).__name__])[0][:120]
                break
            worst = max(worst, error / most if most else error)
            if error > most:
                failed = f"case {count} of {name}: off by {error:.3g}, allowed {most:.3g}"
                break
        yield Row("K", name, f"{count} cases, at worst {worst:.2f} of what is allowed", failed=failed)
    torch.use_deterministic_algorithms(False)


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device that torch can use: tests/kernels/triton runs the same kernels in the interpreter")
        return 0
    device = torch.device("cuda", 0)
    good = True
    for row in run(device):
        print(row.pack(), flush=True)
        good = good and row.good
    for row in (*product_rows(device), *dense_rows(device)):
        print(row.pack(), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
