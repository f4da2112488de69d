"""What a worker counts of the copies into it."""

from common.types.member import Carried, FetchTotals
from kvtransfer.fetched import Fetched


def test_nothing_was_fetched_at_first() -> None:
    assert Fetched().totals() == FetchTotals()


def test_copies_are_counted_by_transport_and_failures_by_cause() -> None:
    fetched = Fetched()
    fetched.add("tcp", 10, 0.5)
    fetched.add("shm", 7, 0.25)
    fetched.add("tcp", 20, 0.25)
    before = fetched.totals()
    fetched.mismatch()
    fetched.failed()
    fetched.failed()
    assert before == FetchTotals((Carried("shm", 1, 7, 0.25), Carried("tcp", 2, 30, 0.75)))
    assert fetched.totals() == FetchTotals(before.carried, 1, 2)
