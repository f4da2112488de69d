"""Which device a worker computes on, as text and as data. Knows nothing of what this machine has."""

import re
from dataclasses import dataclass

CPU = "cpu"
CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Device:
    """`cpu`, or one CUDA device by the number that CUDA gives it in this process."""

    kind: str
    index: int = 0

    @property
    def is_cuda(self) -> bool:
        return self.kind == CUDA

    def __str__(self) -> str:
        return f"{CUDA}:{self.index}" if self.is_cuda else CPU


def parse_device(text: str) -> Device | None:
    """`cpu`, `cuda` (the first one) or `cuda:1`; None for anything else."""
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,3}))?", text, re.ASCII)
    if match is None:
        return None
    return Device(CPU) if text == CPU else Device(CUDA, int(match[1] or 0))
