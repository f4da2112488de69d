"""`python -m loadtest.quote`: puts what was last measured into the tables of README and docs/performance.md.

Reads loadtest/results, never measures; a table stands between two comments that name it. `--check` only says whether
the documents quote what the files say.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.micro._rows import loaded
from loadtest.peers.journal import Kept, read
from loadtest.peers.rows import LLAMA, VLLM, Row, judge, number, rows_of, spread

RESULTS = Path("loadtest/results")
DOCUMENTS = {Path("README.md"): "speed", Path("docs/performance.md"): "targets"}
MODELS = {"135m": "peers-cpu", "170m": "peers-cpu-170m", "350m": "peers-cpu-350m"}
NAMES = {VLLM: "vLLM", LLAMA: "llama.cpp"}
README_ROWS = (
    ("decode, one stream, bare engines", "decode B=1 engine", LLAMA, "tokens/s"),
    ("decode, 8 streams, served", "decode B=8 served", VLLM, "tokens/s"),
    ("decode, 32 streams, served", "decode B=32 served", VLLM, "tokens/s"),
    ("prompts of 512 tokens, bare engines", "prefill 512 engine", VLLM, "tokens/s"),
    ("prompts of 2,048 tokens, bare engines", "prefill 2048 engine", VLLM, "tokens/s"),
    ("requests within 1 s to the first token and 60 ms a token, best rate", "best goodput", VLLM, "a second"),
    ("time between tokens, p99, at 2 requests/s", "p99_itl_ms at 2/s", VLLM, "ms"),
    ("time to first token, p50, at 2 requests/s", "p50_ttft_ms at 2/s", VLLM, "ms"),
)


def main(arguments: Sequence[str]) -> int:
    """1 when a document quotes something else and was only to be checked."""
    tables = {"speed": speed(read(RESULTS / f"{MODELS['135m']}.jsonl")), "targets": targets(RESULTS)}
    stale = 0
    for document, name in DOCUMENTS.items():
        old = document.read_text()
        new = replaced(old, name, tables[name])
        stale += old != new
        if old != new and "--check" not in arguments:
            document.write_text(new)
            sys.stdout.write(f"{document}: {name} is as measured now\n")
        elif old != new:
            sys.stdout.write(f"{document}: {name} is not what {RESULTS} says; run python -m loadtest.quote\n")
    return int(bool(stale) and "--check" in arguments)


def replaced(document: str, name: str, table: str) -> str:
    """The document with that table in its place."""
    place = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    if not place.search(document):
        raise ValueError(f"there is no place for {name} in the document")
    return place.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", document)


def speed(kept: Kept) -> str:
    """For README: facts, and a row for each thing a user feels."""
    lines = [*(f"* {fact}" for fact in kept.facts), "", "| | Baton | peer | ratio (spread) |", "|---|---|---|---|"]
    for title, case, peer, unit in README_ROWS:
        found = judge(Row("", title, case, peer), kept.samples)
        if found.own is not None and found.peer is not None:
            own, theirs = (f"{number(value)} {unit}" for value in (found.own, found.peer))
            lines.append(f"| {title} | {own} | {NAMES[peer]} {theirs} | {spread(found.figures)} |")
    return "\n".join(lines)


def targets(folder: Path) -> str:
    """For docs/performance.md: every row with its limits, on each model."""
    bench = folder / "bench-cpu.json"
    micro = [row for row in loaded(bench.read_text()) if row.number] if bench.exists() else []
    lines: dict[tuple[str, str], dict[str, str]] = {}
    limits: dict[tuple[str, str], tuple[str, str]] = {}
    for model, name in MODELS.items():
        samples = read(folder / f"{name}.jsonl").samples
        for row in rows_of(samples):
            found = judge(row, samples)
            if found.figures and row.must:
                key = (row.number, row.what + (f" / {row.peer}" if row.peer else ""))
                lines.setdefault(key, {})[model] = f"{spread(found.figures)} {found.verdict}"
                limits[key] = (f"{'<=' if row.most else '>='} {row.must:g}", f"{row.aim:g}")
    for measured in micro:
        _, words, figure, must, aim, verdict = measured.cells()
        what, model = _without_model(words)
        key = (measured.number, what)
        lines.setdefault(key, {})[model] = f"{figure} {verdict}"
        limits[key] = (must, aim)
    table = ["| row | what | must | aim | " + " | ".join(MODELS) + " |", "|---" * (4 + len(MODELS)) + "|"]
    for key in sorted(lines, key=lambda key: int(key[0][1:])):
        cells = (lines[key].get(model, "") for model in MODELS)
        table.append("| " + " | ".join((*key, *limits[key], *cells)) + " |")
    return "\n".join(table)


def _without_model(what: str) -> tuple[str, str]:
    """A row's words, and the model it is about."""
    for model in MODELS:
        if f", {model}" in what:
            return what.replace(f", {model}", ""), model
    return what, "135m"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
