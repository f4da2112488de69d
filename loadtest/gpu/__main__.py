"""`make gpu`: every kernel against its reference, the system against transformers, then G1 to G10, in one table.

Each section is a process with a time of its own; one that fails is a row that says so, and the rest goes on. The exit
code is 1 when anything failed or missed its mark. Without a device it runs what needs none.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtest.gpu.facts import describe, device_name
from loadtest.gpu.rows import Row, table, unpack
from loadtest.gpu.section import CEILINGS, SECTIONS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "loadtest" / "results"
TOTAL_S = 520.0
KERNELS = "loadtest.gpu.kernels"
LIMITS_S = {CEILINGS: 40.0, "kernels": 150.0, "handoff": 120.0, "decode": 80.0, "idle": 70.0, "loop": 100.0}
USUAL_S = 60.0
FAKES = (
    "tests/kvtransfer/cuda",
    "tests/engine/test_device_runner.py",
    "tests/engine/test_device_boot.py",
    "tests/engine/test_device_rows.py",
    "tests/engine/test_device_answers.py",
    "tests/engine/test_device_sampler.py",
    "tests/engine/test_device_kv_types.py",
)


def main() -> int:
    print(describe(), flush=True)
    name = device_name()
    if not name:
        return without_device()
    began = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        ceilings = str(Path(folder) / "ceilings.json")
        for section in (CEILINGS, "kernels", *SECTIONS):
            left = TOTAL_S - (time.monotonic() - began)
            limit = min(LIMITS_S.get(section, USUAL_S), left)
            if limit < 10:
                rows.append(Row("-", section, failed="no time was left for it"))
                continue
            module = [KERNELS] if section == "kernels" else ["loadtest.gpu.section", section, ceilings]
            rows += list(run_section(section, ["-m", *module], limit))
    text = f"{describe()}\n\n{table(rows)}\nTook {time.monotonic() - began:.0f} s.\n"
    print("\n" + text)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"gpu-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.md"
    file.write_text(f"# make gpu on {name}\n\n{text}")
    print(f"written to {file.relative_to(ROOT)}")
    return 0 if all(row.good for row in rows) else 1


def run_section(name: str, arguments: Sequence[str], limit_s: float) -> Iterator[Row]:
    """Its rows, and one more if it ended badly. Everything it started ends with it."""
    print(f"--- {name} (at most {limit_s:.0f} s)", flush=True)
    began, num_rows, last = time.monotonic(), 0, ""
    overdue = threading.Event()
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:

        def end() -> None:
            overdue.set()
            os.killpg(process.pid, signal.SIGKILL)

        watch = threading.Timer(limit_s, end)
        watch.start()
        for line in process.stdout or ():
            row = unpack(line)
            if row is None:
                print(line, end="", flush=True)
                last = line.strip() or last
            else:
                print(f"{row.id:<4} {row.what}: {row.measured} {row.verdict}", flush=True)
                num_rows += 1
                yield row
        code = process.wait()
        watch.cancel()
    ended = f"it ended with {code}" if code else ""
    if overdue.is_set():
        ended = f"it did not end within {limit_s:g} s"
    if ended:
        yield Row("-", name, failed=f"{ended}: {last[:160]}")
    elif name == "kernels" and not num_rows:
        yield Row("K", "every kernel against its reference", last[:160])
    print(f"--- {name} took {time.monotonic() - began:.0f} s", flush=True)


def without_device() -> int:
    """What stands in for a device shows whether the code around it works."""
    print("no CUDA device that torch can use: nothing is measured; the same code runs over stand-ins")
    ended = subprocess.run([sys.executable, "-m", "pytest", "-q", *FAKES], cwd=ROOT, check=False)
    print("the stand-ins work" if ended.returncode == 0 else "pytest did not pass, or is not installed here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
