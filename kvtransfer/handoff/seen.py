"""Which attempt of each request is the newest a worker has heard of, and how ended ones ended. Bounded memory.

Forgetting an old request is safe: Gone is the answer for what is unknown, and a zombie that starts again is caught by
its deadline. It knows nothing of loans or copies.
"""

from typing import Generic, TypeVar

from common.types.errors import StaleAttempt
from common.types.ids import AttemptId

End = TypeVar("End")
MAX_ENDED = 8192


class SeenAttempts(Generic[End]):
    """The fencing numbers of one worker, and the tombstones of what ended here."""

    __slots__ = ("_ended", "_max_ended", "_newest")

    def __init__(self, max_ended: int = MAX_ENDED) -> None:
        self._newest: dict[str, AttemptId] = {}
        self._ended: dict[AttemptId, End] = {}
        self._max_ended = max_ended

    def newest(self, request_id: str) -> AttemptId | None:
        """The only attempt of this request that may still be live and wanted."""
        return self._newest.get(request_id)

    def admit(self, id: AttemptId) -> None:
        """Makes this attempt the newest of its request; an equal or lower one than already seen is stale."""
        newest = self._newest.get(id.request_id)
        if newest is not None and id.number <= newest.number:
            raise StaleAttempt("this attempt of the request, or a later one, was seen before")
        self._newest[id.request_id] = id

    def bar(self, id: AttemptId, end: End) -> None:
        """Refuses this attempt and all lower ones from now on, though it was never admitted."""
        newest = self._newest.get(id.request_id)
        if newest is None or newest.number < id.number:
            self._newest[id.request_id] = id
            self.bury(id, end)

    def bury(self, id: AttemptId, end: End) -> None:
        """Remembers how an attempt ended, forgetting the oldest when there are too many."""
        self._ended[id] = end
        if len(self._ended) > self._max_ended:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            if self._newest.get(oldest.request_id) == oldest:
                del self._newest[oldest.request_id]

    def end(self, id: AttemptId) -> End | None:
        return self._ended.get(id)
