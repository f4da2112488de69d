"""What all fetches into a worker brought since it started, by transport, and how many failed. Pure counting."""

from common.types.member import Carried, FetchTotals


class Fetched:
    """Counts up; `totals` is a frozen copy."""

    def __init__(self) -> None:
        self._carried: dict[str, Carried] = {}
        self._num_checksum_failures = self._num_transport_failures = 0

    def add(self, transport: str, num_bytes: int, seconds: float) -> None:
        """A fetch ended well; this transport carried the last of it."""
        before = self._carried.get(transport, Carried(transport))
        self._carried[transport] = Carried(
            transport, before.num_fetches + 1, before.num_bytes + num_bytes, before.seconds + seconds
        )

    def mismatch(self) -> None:
        """A block was not what its lender named."""
        self._num_checksum_failures += 1

    def failed(self) -> None:
        """No transport could finish it."""
        self._num_transport_failures += 1

    def totals(self) -> FetchTotals:
        carried = tuple(self._carried[name] for name in sorted(self._carried))
        return FetchTotals(carried, self._num_checksum_failures, self._num_transport_failures)
