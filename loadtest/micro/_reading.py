"""How fast this machine reads memory: the ceiling of a step that has to read all weights.

Three ways over as many bytes as no cache holds, on large pages as the weights are: torch's sum, the C library's search
for a byte that is not there, and the native product of one row, which asks for memory ahead. The fastest counts,
whichever it is on this machine; all have the threads a step has.
"""

import ctypes
import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from common.kernels.native.library import library
from common.kernels.native.ops import PackedLinear

NUM_BYTES = 256 << 20
DEPTH = 1024
_libc = ctypes.CDLL(None)
_libc.memchr.restype, _libc.memchr.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)


class Reading:
    """Measures every way once at a time. The number of threads is torch's when it is made."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._num_threads = torch.get_num_threads()
        self._memory = mmap.mmap(-1, NUM_BYTES)
        self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._floats = torch.frombuffer(self._memory, dtype=torch.float32)
        self._floats.fill_(1.0)
        self._first = self._floats.data_ptr()
        self._others = ThreadPoolExecutor(max(1, self._num_threads - 1))
        native = library()
        if native is None:
            raise RuntimeError("there are no native kernels here to measure")
        columns = NUM_BYTES // (2 * DEPTH)
        self._product = PackedLinear(native, torch.ones(columns, DEPTH, dtype=torch.bfloat16))
        self._row = torch.ones(1, DEPTH, dtype=torch.bfloat16)
        self._ways: dict[str, Callable[[], object]] = {  # torch's comes last: its threads go on spinning for a while
            "product": lambda: self._product(self._row),
            "search": self._search,
            "sum": self._floats.sum,
        }

    def rates(self) -> dict[str, float]:
        """Bytes per second, way by way."""
        found = {}
        for name, way in self._ways.items():
            began = self._clock()
            way()
            found[name] = NUM_BYTES / (self._clock() - began)
        return found

    def close(self) -> None:
        self._others.shutdown()

    def _search(self) -> None:
        share = NUM_BYTES // self._num_threads
        rest = [self._others.submit(self._look, place, share) for place in range(1, self._num_threads)]
        self._look(0, share)
        for each in rest:
            each.result()

    def _look(self, place: int, share: int) -> None:
        """The interpreter's lock is not held meanwhile."""
        if _libc.memchr(self._first + place * share, 7, share) is not None:
            raise RuntimeError("found what is not there")
