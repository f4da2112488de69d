"""Every level of native kernels this machine can run, compiled once into the user's cache."""

import ctypes
import functools

import pytest

from common.kernels.native.build import LEVELS, CannotBuildError, cpu_flags, levels_of
from common.kernels.native.library import load
from common.types.resolve import cache_folder

RUNNABLE = levels_of(cpu_flags())


@functools.cache
def compiled(name: str) -> ctypes.CDLL:
    """Skips the test where the processor or the machine cannot."""
    for level in RUNNABLE:
        if level.name == name:
            try:
                return load(level, cache_folder() / "native")
            except CannotBuildError as error:
                pytest.skip(str(error))
    pytest.skip(f"this processor does not run {name}")


every_level = pytest.mark.parametrize("level", [level.name for level in LEVELS])
