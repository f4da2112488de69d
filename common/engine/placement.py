"""Which cores the engine thread and its helpers in torch run on, and how many of them there are."""

import contextlib
import ctypes
import os
from collections.abc import Callable

import torch

from common.obs.cores import keep_to

_libc = ctypes.CDLL(None)


def give_way() -> None:
    """Lets a thread that waits for this core run first, and lets go of the interpreter meanwhile.

    Whoever carries an engine's results often shares its core: woken right before a step, it would get there only
    milliseconds later, when the system next looks whose turn it is. Where nobody waits this takes a microsecond.
    """
    _libc.sched_yield()


class Aside:
    """Called by a thread of the same process, it moves that thread off an engine's cores while the engine has work.

    What runs there beside a step is paid for by every stream of that step. With nothing to compute, or where the
    process has no other cores, the thread may run anywhere.
    """

    def __init__(self, cores: tuple[int, ...], busy: Callable[[], bool]) -> None:
        self._everywhere = os.sched_getaffinity(0)
        self._elsewhere = self._everywhere - set(cores) if cores else set()
        self._busy = busy

    def __call__(self) -> None:
        if self._elsewhere:
            with contextlib.suppress(OSError):  # cores were taken from the process: it stays where it is
                os.sched_setaffinity(0, self._elsewhere if self._busy() else self._everywhere)


def settle_thread(cores: tuple[int, ...], num_threads: int) -> None:
    """Moves the calling thread, and the threads torch starts for it from now on, to these cores; all when empty."""
    keep_to(cores)
    torch.set_num_threads(num_threads)
