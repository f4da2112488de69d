"""How many bytes of bodies may be held at once, over all requests. Pure counting."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.types.errors import Overloaded

RETRY_AFTER_MS = 1000


class BodyRoom:
    """Each body is small enough; thousands of them at once are not."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    class Place:
        """One body's share of it."""

        def __init__(self, room: "BodyRoom") -> None:
            self._room = room
            self.num_bytes = 0

        def take(self, num_bytes: int) -> None:
            """Raises Overloaded when the others leave no room."""
            if self._room.num_bytes + num_bytes > self._room._max_bytes:
                raise Overloaded("too many bytes of requests are being received", RETRY_AFTER_MS)
            self._room.num_bytes += num_bytes
            self.num_bytes += num_bytes

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Given back in the end, whatever became of the body."""
        place = BodyRoom.Place(self)
        try:
            yield place
        finally:
            self.num_bytes -= place.num_bytes
