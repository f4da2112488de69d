"""A measured row: what it is called in the table of targets, what it came to, and what it must come to. Pure."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Measured:
    """`figures` of the repetitions; a `must` or an `aim` of 0 is none. `most` rows must stay below."""

    number: str
    what: str
    figures: tuple[float, ...]
    unit: str = ""
    must: float = 0.0
    aim: float = 0.0
    most: bool = False

    @property
    def figure(self) -> float:
        return median(self.figures)

    @property
    def verdict(self) -> str:
        if self.aim and self._keeps(self.aim):
            return "aim"
        if self.must:
            return "met" if self._keeps(self.must) else "missed"
        return "short of it" if self.aim else ""

    def _keeps(self, limit: float) -> bool:
        return (self.figure <= limit) if self.most else (self.figure >= limit)

    def cells(self) -> tuple[str, ...]:
        spread = f" ({_short(min(self.figures))} to {_short(max(self.figures))})" if len(self.figures) > 1 else ""
        sign = "<= " if self.most else ">= "
        limits = (f"{sign}{self.must:g}" if self.must else "", f"{self.aim:g}" if self.aim else "")
        return (self.number, self.what, f"{_short(self.figure)} {self.unit}".strip() + spread, *limits, self.verdict)


def markdown(rows: Sequence[Measured]) -> str:
    """A table."""
    head = ("", "what", "median (spread)", "must", "aim", "")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in rows)])


def dumped(rows: Sequence[Measured]) -> str:
    """For another process."""
    return json.dumps([asdict(row) for row in rows])


def loaded(text: str) -> list[Measured]:
    return [Measured(**{**row, "figures": tuple(row["figures"])}) for row in json.loads(text)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
