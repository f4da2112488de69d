"""The compiled kernels of this machine, loaded once; says once which they are, or why there are none.

Owns the choice of a level. Calls into the library give up the interpreter lock.
"""

import ctypes
import functools
import logging
from pathlib import Path

from common.kernels.native.build import CannotBuildError, Level, build, cpu_flags, levels_of
from common.kernels.native.structs import FUNCTIONS
from common.types.resolve import cache_folder

_log = logging.getLogger("baton.kernels")


@functools.cache
def library() -> ctypes.CDLL | None:
    """None where the torch reference has to serve."""
    levels = levels_of(cpu_flags())
    try:
        if not levels:
            raise CannotBuildError("they are for x86-64 processors with AVX2, on Linux")
        loaded = load(levels[0], cache_folder() / "native")
    except CannotBuildError as error:
        _log.warning("no native kernels, torch computes: %s", error)
        return None
    _log.info("native kernels", extra={"level": levels[0].name})
    return loaded


def load(level: Level, cache: Path) -> ctypes.CDLL:
    """The library for one level, its functions' types declared."""
    path = build(level, cache)
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise CannotBuildError(f"{path.name} cannot be loaded: {error}") from error
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
