"""A token bucket that holds a minute's worth, and may owe what nobody could foresee. Pure: `now` comes in."""


class Bucket:
    """Full at first; fills evenly."""

    def __init__(self, per_min: int, now: float) -> None:
        self.per_min = per_min
        self._level, self._at = float(per_min), now

    def take(self, num: int, now: float) -> float | None:
        """Takes so many, or nothing and says after how many seconds to come again.

        What is larger than the bucket is taken from a full one, and owed.
        """
        per_s = self.per_min / 60
        self._level = min(float(self.per_min), self._level + max(0.0, now - self._at) * per_s)
        self._at = max(self._at, now)
        missing = min(num, self.per_min) - self._level
        if missing > 1e-6:
            return missing / per_s
        self._level -= num
        return None

    def give_back(self, num: int) -> None:
        """Fewer were used than taken; a negative number is owed."""
        self._level = min(float(self.per_min), self._level + num)
