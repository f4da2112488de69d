"""Runs Triton's kernels on the CPU by its interpreter, on small odd shapes; without Triton there is nothing to run.

The interpreter is chosen when Triton is first imported in a process. The choice is taken back from the environment at
once: what other tests start is not to inherit it.
"""

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

collect_ignore_glob = ["test_*.py"] if find_spec("triton") is None else []


def _choose_interpreter() -> None:
    if "triton" in sys.modules:
        raise RuntimeError("triton was imported before its interpreter could be chosen")
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        import_module("triton").knobs.runtime.interpret = True
    finally:
        del os.environ["TRITON_INTERPRET"]


if not collect_ignore_glob:
    _choose_interpreter()


@pytest.fixture(autouse=True)
def _poisoned() -> Iterator[None]:
    """New memory holds NaN or the largest integer: what a kernel leaves unwritten shows."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
