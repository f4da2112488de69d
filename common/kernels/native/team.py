"""The threads native code runs on: one team per engine, made on the thread that uses it.

Workers inherit the cores that thread may use. Their number follows torch's.
"""

import ctypes
import weakref

import torch


class Team:
    """Made at its first use, and again whenever torch's number of threads has changed since."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._size = 0
        self.last = 0
        """What `pointer` gave last, for a step like the one before: even to ask torch takes time there."""
        self._end: weakref.finalize[[int], Team] | None = None

    def pointer(self) -> int:
        size = torch.get_num_threads()
        if size != self._size:
            if self._end is not None:
                self._end()
            self.last = self._library.baton_team_new(size)
            self._end = weakref.finalize(self, self._library.baton_team_free, self.last)
            self._end.atexit = False  # a daemon thread may still be in a step when the process ends
            self._size = size
        return self.last
