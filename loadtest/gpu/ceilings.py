"""What this device can do at best, read anew in every run: reading memory, copying it, multiplying matrices.

Owns how things are timed on a device: events around the region, warmed up, the median of several.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

NUM_SAMPLES = 9
ROW = 4096
"""Elements of bfloat16 that are summed up together."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Bytes and operations per second."""

    read: float
    copy: float
    products: float

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def load(path: Path) -> "Ceilings":
        return Ceilings(**json.loads(path.read_text()))


def seconds(work: Callable[[], object], samples: int = NUM_SAMPLES, batch: int = 1) -> float:
    """Median time on the device of one call; `batch` calls are launched together."""
    for _ in range(2):
        work()
    times = []
    for _ in range(samples):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        for _ in range(batch):
            work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000 / batch)
    return float(median(times))


def graphed(work: Callable[[], object]) -> Callable[[], None]:
    """The same as one launch, so that many small ones are not timed for their gaps."""
    apart = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    apart.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(apart):
        work()
        work()
    torch.cuda.current_stream().wait_stream(apart)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def random_bytes(num_bytes: int, device: torch.device) -> torch.Tensor:
    """bfloat16 between -1 and 1: neither zeros, which run faster, nor infinities."""
    made = torch.empty(num_bytes // 2, dtype=torch.bfloat16, device=device)
    for start in range(0, len(made), 1 << 28):
        made[start : start + (1 << 28)].uniform_(-1, 1)
    return made


def read_ceilings(device: torch.device) -> Ceilings:
    """Takes a few seconds and an eighth of the free memory, at most 8 GiB."""
    read, copy = _memory(copied_bytes(torch.cuda.mem_get_info(device)[0]), device)
    return Ceilings(max(read, copy / 2), copy, _products(8192, device))


def copied_bytes(free: int) -> int:
    """How much is copied to as much again: of whole rows, whatever is free."""
    return min(8 << 30, free // 8) // 2 // (2 * ROW) * (2 * ROW)


def _memory(size: int, device: torch.device) -> tuple[float, float]:
    source, target = random_bytes(size, device), torch.empty(size // 2, dtype=torch.bfloat16, device=device)
    copy = 2 * size / seconds(lambda: target.copy_(source))
    words = source.view(torch.int32)
    # two ways to read and keep next to nothing; the faster one is nearer to what memory gives
    read = max(
        size / seconds(lambda: torch.amax(words)),
        size / seconds(lambda: source.view(-1, ROW).sum(dim=1, dtype=torch.float32)),
    )
    return read, copy


def _products(side: int, device: torch.device) -> float:
    left, right = (random_bytes(2 * side * side, device).view(side, side) for _ in range(2))
    return 2 * side**3 / seconds(lambda: left @ right)
