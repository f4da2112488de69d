"""`python -m common.kernels.native`: builds the native kernels ahead of their first use, and says what became of it."""

import logging
import sys

from common.kernels.native.library import library

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    library()
