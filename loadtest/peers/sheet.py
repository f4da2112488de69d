"""The comparison as a Markdown file: facts, the table, every figure behind it, and what did not work. Pure."""

from collections.abc import Sequence
from statistics import median

from loadtest.peers.journal import Journal, Sample
from loadtest.peers.rows import table

HEAD = """# Baton beside its peers

Written by `make bench-peers`: one server at a time on the same cores, in turns, the same load by `baton bench`. A ratio
is taken within a turn; the row shows the median of the turns, and in brackets their range. "served" is through a server
and a client; "engine" is the bare engine without either. How each row is measured is in `docs/benchmarks.md`.
"""


def text(facts: Sequence[str], journal: Journal) -> str:
    """The whole file."""
    parts = [HEAD, "\n".join(f"* {fact}" for fact in facts), "", table(journal.samples), ""]
    parts += ["## Every figure", "", _figures(journal.samples), ""]
    if journal.lines:
        parts += ["## What did not work", "", "\n".join(f"* {line}" for line in journal.lines), ""]
    return "\n".join(parts)


def _figures(samples: Sequence[Sample]) -> str:
    cases = dict.fromkeys((sample.case, sample.side, sample.unit) for sample in samples)
    lines = ["| case | side | median | by turn |", "|---|---|---|---|"]
    for case, side, unit in sorted(cases):
        by_turn: dict[int, list[float]] = {}
        for sample in samples:
            if (sample.case, sample.side) == (case, side):
                by_turn.setdefault(sample.turn, []).append(sample.value)
        medians = [median(values) for values in by_turn.values()]
        turns = ", ".join(f"{value:.4g}" for value in medians)
        lines.append(f"| {case} | {side} | {median(medians):.4g} {unit} | {turns} |".replace("  ", " "))
    return "\n".join(lines)
