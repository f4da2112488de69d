"""Runs the micro-benchmarks one after the other, each in a process of its own, and keeps their rows in one table.

One that fails or takes too long is a line under the table; the others' rows stand.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from baton.cli.child import Child, ChildSpec, how_it_ended
from common.types.resolve import child_environment
from loadtest.micro._rows import Measured, dumped, loaded, markdown
from loadtest.peers.machine import processor

RUNS = (
    ("kernels",),
    ("team",),
    ("transports",),
    ("schedulers",),
    ("frames",),
    ("router",),
    ("mask",),
    ("step", "135m", "1"),
    ("step", "135m", "2"),
    ("step", "170m", "1"),
    ("step", "170m", "2"),
    ("step", "350m", "1"),
    ("step", "350m", "2"),
    ("reference",),
    ("served", "135m"),
    ("served", "170m"),
    ("served", "350m"),
    ("handoff", "135m"),
    ("handoff", "170m"),
    ("handoff", "350m"),
)
LIMIT_S = 240.0
RESULTS = Path("loadtest/results/bench-cpu.md")
HEAD = """# Single parts against this machine's ceilings

Written by `make bench`. Every ceiling (read bandwidth, memcpy, TCP, bare servers, plain matrix products) is measured
in the same run and in turns; spread is over repetitions. What each row is about stands at the top of its file in
`loadtest/micro/`. A model is `135m` of `loadtest/shapes.py` where no other is named.
"""


def run_all(out: Path = RESULTS) -> int:
    """0 when all of them ran; a target that was missed is a finding, no failure."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Measured] = []
    problems: list[str] = []
    machine = [processor(), f"{len(os.sched_getaffinity(0))} cores, load before it began {os.getloadavg()[0]:.2f}"]
    start = time.monotonic()
    for name, *arguments in RUNS:
        began = time.monotonic()
        found, problem = asyncio.run(_one(name, *arguments))
        rows += found
        problems += [problem] if problem else []
        print(f"{' '.join((name, *arguments))}: {problem or 'done'}, {time.monotonic() - began:.0f} s\n", flush=True)
        facts = [*machine, f"took {(time.monotonic() - start) / 60:.0f} minutes"]
        out.write_text(_sheet(rows, problems, facts))
        out.with_suffix(".json").write_text(dumped(rows) + "\n")
    print(out.read_text())
    return 1 if problems else 0


async def _one(name: str, *arguments: str) -> tuple[list[Measured], str]:
    """Its rows, and what went wrong."""
    called = " ".join((name, *arguments))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        argv = (sys.executable, "-u", "-m", "loadtest.micro", name, *arguments, "--rows", str(path))
        environment = child_environment([], {"GRPC_VERBOSITY": "ERROR"})
        child = await Child.start(
            ChildSpec(name, argv, environment=environment), lambda _, line: print(line, flush=True)
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                code = await child.wait()
        except TimeoutError:
            return [], f"{called} took longer than {LIMIT_S:g} s"
        finally:
            child.kill()
            await child.wait()
        if code or not path.exists():
            return [], f"{called} failed ({how_it_ended(code)})"
        return loaded(path.read_text()), ""


def _sheet(rows: list[Measured], problems: list[str], facts: Sequence[str] = ()) -> str:
    judged = [row for row in rows if row.number]
    others = [row for row in rows if not row.number]
    parts = [
        HEAD,
        *(f"* {fact}" for fact in facts),
        "",
        markdown(sorted(judged, key=lambda row: int(row.number[1:]))),
        "",
        "## Other figures",
        "",
    ]
    parts += [markdown(others), ""]
    if problems:
        parts += ["## What did not work", "", "\n".join(f"* {line}" for line in problems), ""]
    return "\n".join(parts)
