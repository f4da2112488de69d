"""The rows of the comparison: which case of which side over which, what they must reach, and the table. Pure.

A ratio is taken within a turn, between medians; the row shows the median of the turns' ratios and their range.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from loadtest.peers.journal import Sample, values


@dataclass(frozen=True, slots=True)
class Row:
    """`most` rows must stay below their number, the others above; a `must` of 0 is none. Without a peer the row is
    about Baton alone.
    """

    number: str
    what: str
    case: str
    peer: str
    must: float = 0.0
    aim: float = 0.0
    side: str = "baton"
    peer_case: str = ""
    most: bool = False


VLLM, LLAMA = "vllm", "llama.cpp"
ROWS = (
    Row("C1", "decode tokens/s, B=1, engines alone", "decode B=1 engine", LLAMA, 0.9, 1.1),
    Row("C1", "the same, Baton served over gRPC", "decode B=1 served", LLAMA, 0.9, 1.1, peer_case="decode B=1 engine"),
    Row("C2", "decode tokens/s, B=8, served", "decode B=8 served", VLLM, 1.3, 1.8),
    Row("C2", "decode tokens/s, B=32, served", "decode B=32 served", VLLM, 1.3, 1.8),
    Row("C2", "decode tokens/s, B=8, engines alone", "decode B=8 engine", VLLM, 1.3, 1.8),
    Row("C2", "decode tokens/s, B=32, engines alone", "decode B=32 engine", VLLM, 1.3, 1.8),
    Row("C3", "prefill tokens/s, 512, served", "prefill 512 served", VLLM, 1.3, 1.6),
    Row("C3", "prefill tokens/s, 2,048, served", "prefill 2048 served", VLLM, 1.3, 1.6),
    Row("C3", "prefill tokens/s, 512, engines alone", "prefill 512 engine", VLLM, 1.3, 1.6),
    Row("C3", "prefill tokens/s, 2,048, engines alone", "prefill 2048 engine", VLLM, 1.3, 1.6),
    Row("C6", "ITL p99 while prompts arrive / idle ITL p50", "ITL busy / idle, gRPC", "", 1.5, 1.2, most=True),
    Row("C6", "the same over HTTP", "ITL busy / idle, HTTP", "", 1.5, 1.2, most=True),
    Row("C6", "the same of vLLM, for comparison", "ITL busy / idle, HTTP", "", side=VLLM),
    Row("C7", "goodput, the best over all rates", "best goodput", VLLM, 1.3, 2.0),
    Row("C7", "goodput at 2 requests/s, by vllm's client", "goodput at 2/s by vllm bench serve", VLLM),
    Row("C12", "start to first token, demo model, s", "start to first token", "", 15, 5, most=True),
)
RATE = re.compile(r"goodput at ([\d.]+)/s")
HEAD = ("", "what", "Baton", "peer", "ratio (spread)", "must", "aim", "")


@dataclass(frozen=True, slots=True)
class Judged:
    """A row with what was measured for it; nothing where a side is missing."""

    row: Row
    own: float | None
    peer: float | None
    figures: tuple[float, ...]

    @property
    def figure(self) -> float | None:
        return median(self.figures) if self.figures else None

    @property
    def verdict(self) -> str:
        if self.figure is None or not self.row.must:
            return ""
        for word, limit in (("aim", self.row.aim), ("met", self.row.must)):
            if (self.figure <= limit) if self.row.most else (self.figure >= limit):
                return word
        return "missed"


def judge(row: Row, samples: Sequence[Sample]) -> Judged:
    own = {turn: median(all_) for turn, all_ in values(samples, row.case, row.side).items()}
    if not row.peer:
        figures = tuple(own.values())
        return Judged(row, None, None, figures)
    peer = {turn: median(all_) for turn, all_ in values(samples, row.peer_case or row.case, row.peer).items()}
    both = sorted(own.keys() & peer.keys())
    figures = tuple(own[turn] / peer[turn] for turn in both if peer[turn])
    return Judged(row, _middle(own.values()), _middle(peer.values()), figures)


def rates(samples: Iterable[Sample]) -> list[Row]:
    """A row for each rate of arrivals. Not judged: at a rate that both sides keep up with, the ratio is 1."""
    found = sorted({float(match[1]) for sample in samples if (match := RATE.fullmatch(sample.case))})
    return [Row("C7", f"goodput at {rate:g} requests/s", f"goodput at {rate:g}/s", VLLM) for rate in found]


def rows_of(samples: Sequence[Sample]) -> list[Row]:
    """All there are, in order."""
    return sorted([*ROWS, *rates(samples)], key=lambda row: int(row.number[1:]))


def table(samples: Sequence[Sample], rows: Sequence[Row] = ()) -> str:
    """In Markdown; rows of which nothing was measured are left out."""
    rows = rows or rows_of(samples)
    judged = [found for found in (judge(row, samples) for row in rows) if found.figures or found.own is not None]
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    lines += [f"| {' | '.join(_cells(found))} |" for found in judged]
    return "\n".join(lines)


def _cells(found: Judged) -> tuple[str, ...]:
    row = found.row
    limit = "<= " if row.most else ">= "
    return (
        row.number,
        row.what + (f" / {row.peer}" if row.peer else ""),
        number(found.own),
        number(found.peer),
        spread(found.figures) if found.figures else "peer was 0" if found.peer == 0 else "-",
        f"{limit}{row.must:g}" if row.must else "",
        f"{row.aim:g}" if row.aim else "",
        found.verdict,
    )


def spread(figures: Sequence[float]) -> str:
    """The median, and the range where there is one."""
    middle = f"**{median(figures):.2f}**"
    return middle if len(figures) == 1 else f"{middle} ({min(figures):.2f} to {max(figures):.2f})"


def number(value: float | None) -> str:
    """As long as it is telling."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _middle(found: Iterable[float]) -> float | None:
    known = list(found)
    return median(known) if known else None
