"""`python -m common.kernels.native`: builds the native kernels ahead of their first use, and says what became of it.

With `--all`, for every kind of processor there is code for, as an image needs it that runs on any of them.
"""

import logging
import sys

from common.kernels.native.build import LEVELS, CannotBuildError, build
from common.kernels.native.library import library
from common.types.resolve import cache_folder


def main(argv: list[str]) -> int:
    if argv != ["--all"]:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        library()
        return 0
    for level in LEVELS:
        try:
            sys.stdout.write(f"native kernels for {level.name}: {build(level, cache_folder() / 'native').name}\n")
        except CannotBuildError as error:
            sys.stderr.write(f"no native kernels for {level.name}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
