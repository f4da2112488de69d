"""Identities: who is talking about which try of which request."""

import secrets
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class AttemptId:
    """One try at a request. The number is the fencing token: a lower one than already seen is refused."""

    request_id: str
    number: int

    def next(self) -> "AttemptId":
        return AttemptId(self.request_id, self.number + 1)

    @property
    def facts(self) -> dict[str, object]:
        """For the log: under these names a request is found in every process that worked for it."""
        return {"request": self.request_id, "attempt": self.number}

    def __str__(self) -> str:
        return f"{self.request_id}#{self.number}"


class Role(Enum):
    """Which pool a worker belongs to."""

    PREFILL = "prefill"
    DECODE = "decode"


PROTOCOL_MAJOR = 2


def new_epoch() -> int:
    """A random 63-bit number that names one boot of one process; never 0."""
    return secrets.randbits(63) | 1


def new_request_id() -> str:
    """Minted by the router only."""
    return "r-" + secrets.token_hex(10)
