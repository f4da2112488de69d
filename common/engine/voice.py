"""Where a worker's start-up is told: its phases, single lines, and how far loading is. Knows nothing of terminals."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Voice:
    """The phases of a worker, in order: environment, kernels, load, pack, (measure,) probe, (capture,) listen, join."""

    phase: Callable[[str], None] = lambda name: None
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[int, int], None] | None = None
