"""One row of the report: what was measured, against what, and whether that is enough. Knows nothing of devices."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

MARK = "ROW "


@dataclass(frozen=True, slots=True)
class Row:
    """`ratio` is compared with `must`; `most` says that it must be at most that, otherwise at least.

    A row without `must` is a fact, or passed as such; `failed` says why there is no number.
    """

    id: str
    what: str
    measured: str = ""
    ratio: float | None = None
    must: float | None = None
    most: bool = True
    failed: str = ""

    @property
    def good(self) -> bool:
        if self.failed:
            return False
        if self.must is None or self.ratio is None:
            return True
        return self.ratio <= self.must if self.most else self.ratio >= self.must

    @property
    def verdict(self) -> str:
        if self.failed:
            return f"failed: {self.failed}"
        if self.must is None or self.ratio is None:
            return "passed" if self.id.startswith("K") else ""
        return "met" if self.good else "MISSED"

    def pack(self) -> str:
        """As a section's process prints it."""
        return MARK + json.dumps(asdict(self))


def unpack(line: str) -> Row | None:
    """A line of a section's output, if it is a row."""
    if not line.startswith(MARK):
        return None
    return Row(**json.loads(line[len(MARK) :]))


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = ["| # | what | measured | ratio | must | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        must = "" if row.must is None else f"{'<=' if row.most else '>='} {row.must:g}"
        lines.append(f"| {row.id} | {row.what} | {row.measured} | {ratio} | {must} | {row.verdict} |")
    return "\n".join(lines) + "\n"
