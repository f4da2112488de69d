"""`python -m loadtest.micro [NAME [ARGUMENT...]]`: lists the micro-benchmarks, or runs one (its `run` function)."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import loadtest.micro


def main(arguments: Sequence[str]) -> int:
    names = sorted(found.name for found in pkgutil.iter_modules(loadtest.micro.__path__) if found.name[0] != "_")
    if arguments and arguments[0] in names:
        importlib.import_module(f"loadtest.micro.{arguments[0]}").run(*arguments[1:])
        return 0
    print("usage: python -m loadtest.micro NAME [ARGUMENT...]")
    for name in names:
        summary = (importlib.import_module(f"loadtest.micro.{name}").__doc__ or "").partition("\n")[0]
        print(f"  {name:<14} {summary}")
    return 2 if arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
