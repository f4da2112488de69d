"""Whether Triton can launch kernels here: with them it compiles a small library of C, once, when it is first used.

Owns what an operator is told when it cannot. Knows no kernels.
"""

from importlib.util import find_spec
from subprocess import SubprocessError

from common.types.errors import StartupError


def check_launches() -> None:
    """Raises StartupError where Triton is installed and cannot launch; without it torch computes, and needs nothing."""
    if find_spec("triton") is None:
        return
    from triton.runtime import driver

    try:
        _ = driver.active.utils  # made by a C compiler, or found where an earlier process has left it
    except (RuntimeError, OSError, SubprocessError, ImportError, AssertionError) as error:
        raise StartupError(
            f"Triton cannot launch kernels here ({type(error).__name__})",
            "It compiles a small C library first: install gcc, libc6-dev and the headers of this Python, and see that "
            "TRITON_CACHE_DIR lies where libraries may be loaded from. Without triton installed, torch computes",
        ) from error
