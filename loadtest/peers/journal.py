"""What was measured so far: one sample a line of JSON, written the moment it is there. Survives whatever comes next."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one side in one turn. `case` names what was measured, such as "decode B=8 served"."""

    case: str
    side: str
    turn: int
    value: float
    unit: str


class Journal:
    """Samples in order, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self.samples: list[Sample] = []
        self.lines: list[str] = []
        self._path = path
        path.write_text("")

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self._append(asdict(sample))

    def note(self, line: str) -> None:
        """What was skipped or failed, in words."""
        self.lines.append(line)
        self._append({"note": line})

    def _append(self, entry: dict[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def values(samples: Iterable[Sample], case: str, side: str) -> dict[int, list[float]]:
    """By turn."""
    found: dict[int, list[float]] = {}
    for sample in samples:
        if sample.case == case and sample.side == side:
            found.setdefault(sample.turn, []).append(sample.value)
    return found
