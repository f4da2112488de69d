"""One section of the run, in a process of its own: `python -m loadtest.gpu.section NAME CEILINGS`.

A section that breaks the device's context, or hangs, takes nobody with it. Prints its rows as they come.
"""

import importlib
import sys
from pathlib import Path

from loadtest.gpu.rows import Row

SECTIONS = {
    "handoff": "loadtest.gpu.handoff_rows",
    "attention": "loadtest.gpu.attention_rows",
    "small": "loadtest.gpu.small_rows",
    "decode": "loadtest.gpu.decode_rows",
    "prefill": "loadtest.gpu.prefill_rows",
    "idle": "loadtest.gpu.idle_rows",
    "loop": "loadtest.gpu.closed_loop",
}
CEILINGS = "ceilings"


def run(name: str, file: Path) -> None:
    import torch

    from loadtest.gpu.ceilings import Ceilings, read_ceilings

    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    if name == CEILINGS:
        found = read_ceilings(device)
        found.save(file)
        _print(Row("-", "read bandwidth (reduction)", f"{found.read / 1e12:.2f} TB/s"))
        _print(Row("-", "copy bandwidth, read and write", f"{found.copy / 1e12:.2f} TB/s"))
        _print(Row("-", "bf16 product of 8192, random data", f"{found.products / 1e12:.0f} TFLOP/s"))
        return
    module = importlib.import_module(SECTIONS[name])
    for row in module.measure(device, Ceilings.load(file)):
        _print(row)


def _print(row: Row) -> None:
    print(row.pack(), flush=True)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
