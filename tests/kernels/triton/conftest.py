"""Runs Triton's kernels on the CPU by its interpreter, on small odd shapes: where Triton is and a device is not."""

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

_INTERPRETED = "TRITON_INTERPRET" in os.environ and find_spec("triton") is not None
collect_ignore_glob = [] if _INTERPRETED else ["test_*.py"]
if _INTERPRETED:
    # stays when the environment's choice is taken back, see tests/conftest.py
    import_module("triton").knobs.runtime.interpret = True


@pytest.fixture(autouse=True)
def _poisoned() -> Iterator[None]:
    """New memory holds NaN or the largest integer: what a kernel leaves unwritten shows."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
