"""Runs Triton's kernels on the CPU by its interpreter, which is chosen when Triton is first imported in a process.

The choice is taken back from the environment at once: what other tests start is not to inherit it.
"""

import os
import sys
from typing import Any

import pytest


def _import_interpreted() -> Any:
    if "triton" in sys.modules:
        # a GPU's tests load the kernels for real; then these have nothing to say
        return sys.modules["triton"]
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        loaded = pytest.importorskip("triton")
        loaded.knobs.runtime.interpret = True
    finally:
        del os.environ["TRITON_INTERPRET"]
    return loaded


_triton = _import_interpreted()
