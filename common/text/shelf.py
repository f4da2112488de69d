"""Things kept for as long as there is room: the longest unused goes first. Bounded by count and by size.

Owns no lock: whoever shares one brings it.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """`max_size` is in whatever unit the sizes given to `put` are."""

    def __init__(self, max_count: int, max_size: int) -> None:
        self._max_count, self._max_size = max_count, max_size
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """Counts as a use."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """What alone is larger than all the room is not kept."""
        self.remove(key)
        if size > self._max_size:
            return
        self._held[key] = (value, size)
        self.size += size
        while len(self._held) > self._max_count or self.size > self._max_size:
            _, (_, gone) = self._held.popitem(last=False)
            self.size -= gone

    def remove(self, key: K) -> None:
        if key in self._held:
            self.size -= self._held.pop(key)[1]
