"""What was measured so far: one sample a line of JSON, written the moment it is there. Survives whatever comes next."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
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
    """Samples in order, in memory and in a file; with `more` those of the last run come first."""

    def __init__(self, path: Path, *, more: bool = False) -> None:
        kept = read(path) if more else Kept()
        self.samples = kept.samples
        self.facts = kept.facts
        self.lines = kept.lines
        self._path = path
        if not more:
            path.write_text("")

    @property
    def num_turns(self) -> int:
        """How many there are already."""
        return 1 + max((sample.turn for sample in self.samples), default=-1)

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self._append(asdict(sample))

    def note(self, line: str) -> None:
        """What was skipped or failed, in words."""
        self.lines.append(line)
        self._append({"note": line})

    def took(self, phase: str, seconds: float) -> None:
        """For whoever plans the next comparison."""
        self._append({"phase": phase, "seconds": round(seconds, 1)})

    def tell(self, facts: Sequence[str]) -> None:
        """What all of it was measured on."""
        self._append({"facts": list(facts)})

    def _append(self, entry: dict[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


@dataclass(frozen=True, slots=True)
class Kept:
    """A journal's file, read again."""

    samples: list[Sample] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def read(path: Path) -> Kept:
    """Nothing where there is no such file."""
    kept = Kept()
    for line in path.read_text().splitlines() if path.exists() else ():
        entry = json.loads(line)
        if "case" in entry:
            kept.samples.append(Sample(**entry))
        if "note" in entry:
            kept.lines.append(entry["note"])
        kept.facts.extend(entry.get("facts", ()))
    return kept


def values(samples: Iterable[Sample], case: str, side: str) -> dict[int, list[float]]:
    """By turn."""
    found: dict[int, list[float]] = {}
    for sample in samples:
        if sample.case == case and sample.side == side:
            found.setdefault(sample.turn, []).append(sample.value)
    return found
