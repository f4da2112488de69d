"""Words of the hand-off that cross the wire."""

from enum import Enum


class Verdict(Enum):
    """The lender's answer to `Landed`, the same whenever it is repeated."""

    RELEASED = "released"
    GONE = "gone"


class LoanEnd(Enum):
    """How a loan ended."""

    RELEASED = "released"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NOTHING_LENT = "nothing lent"


class FailureKind(Enum):
    """Why an attempt ended without an answer on one of its legs."""

    SOURCE_LOST = "source lost"
    TOO_LARGE = "too large"
    DEADLINE = "deadline"
    STALE = "stale"
    DRAINING = "draining"
    TIMEOUT = "timeout"
    INTERNAL = "internal"
    CONSTRAINT = "constraint"
