"""`python -m loadtest.micro [all | NAME [ARGUMENT...]]`: lists the micro-benchmarks, runs all, or one (its `run`).

`--rows FILE` at the end writes what one measured as JSON.
"""

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

import loadtest.micro
from loadtest.micro._all import run_all
from loadtest.micro._rows import dumped


def main(arguments: Sequence[str]) -> int:
    names = sorted(found.name for found in pkgutil.iter_modules(loadtest.micro.__path__) if found.name[0] != "_")
    if arguments and arguments[0] == "all":
        return run_all()
    if arguments and arguments[0] in names:
        name, *rest = arguments
        out = rest.pop() if "--rows" in rest else ""
        rows = importlib.import_module(f"loadtest.micro.{name}").run(*(each for each in rest if each != "--rows"))
        if out:
            Path(out).write_text(dumped(rows or []))
        return 0
    print("usage: python -m loadtest.micro all | NAME [ARGUMENT...]")
    for name in names:
        summary = (importlib.import_module(f"loadtest.micro.{name}").__doc__ or "").partition("\n")[0]
        print(f"  {name:<14} {summary}")
    return 2 if arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
