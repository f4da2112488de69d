"""Stop strings in a text that comes in pieces. Pure.

The text ends where a stop string is first complete, as if it came character by character: so the pieces make no
difference. Of several that are complete at once the longest counts. It is not part of the text.
"""

from collections.abc import Sequence


class StopStrings:
    """Holds back what may be the beginning of a stop string. None of them may be empty."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._firsts = frozenset(stop[0] for stop in stops)
        self._reach = max((len(stop) for stop in stops), default=1) - 1
        self._held = ""
        self._stopped = False

    def feed(self, text: str) -> tuple[str, bool]:
        """The text that became certain, and whether a stop string was reached; after that there is no more text."""
        if not self._stops or self._stopped:
            return ("" if self._stopped else text), self._stopped
        text = self._held + text
        start = self._first_complete(text)
        self._stopped = start is not None
        if start is None:
            start = self._first_possible(text)
            self._held = text[start:]
        return text[:start], self._stopped

    def flush(self) -> str:
        """The text held back, once it is certain that none follows."""
        held, self._held = self._held, ""
        return "" if self._stopped else held

    def _first_complete(self, text: str) -> int | None:
        """Where the stop string begins that ends first."""
        places = ((text.find(stop), len(stop)) for stop in self._stops)
        ends = [(start + length, start) for start, length in places if start >= 0]
        return min(ends)[1] if ends else None

    def _first_possible(self, text: str) -> int:
        """Where the longest suffix begins that may still grow into a stop string."""
        for start in range(max(0, len(text) - self._reach), len(text)):
            if text[start] in self._firsts:
                suffix = text[start:]
                if any(stop.startswith(suffix) for stop in self._stops):
                    return start
        return len(text)
