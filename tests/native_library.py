"""Libraries in C that tests compile to stand in for ones that come with a device."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(source: Path, folder: Path) -> ctypes.CDLL:
    """Headers are looked for where CPATH says; the compiler's warnings are errors."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    made = folder / f"{source.stem}.so"
    command = [compiler, "-std=gnu11", "-Wall", "-shared", "-fPIC", "-o", str(made), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(made))
