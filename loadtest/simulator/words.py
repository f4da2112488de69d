"""What the simulated workers and the router say to each other, and what the world takes for true.

The words mirror the wire: one frozen body for each message of `protos/`, between two boots of two processes.
"""

from dataclasses import dataclass
from typing import Protocol

from common.engine.messages import BlocksReady, FirstTokens, Joined, Sealed, Started
from common.types.attempt import Attempt
from common.types.handoff import Verdict
from common.types.ids import AttemptId
from common.types.sampling import SampledToken
from kvtransfer.handoff.actions import Closed, Report
from kvtransfer.handoff.steps import MemberId

Content = tuple[object, ...] | None
"""What a block's bytes say; None is garbage."""


class Violation(Exception):
    """The world broke a promise of the hand-off."""


@dataclass(frozen=True, slots=True)
class Run:
    """Router to prefill."""

    attempt: Attempt
    lend: bool
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Attach:
    """Router to decode."""

    attempt: Attempt
    source: MemberId | None
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Router to either leg."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Lent:
    """Prefill to router: all blocks are computed and lent."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Refusal:
    """A worker has no such loan, or does not take the attempt."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Tokens:
    """Decode to router: one step's tokens."""

    id: AttemptId
    tokens: tuple[SampledToken, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Decode to prefill."""

    id: AttemptId
    num_skip_blocks: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Decode to prefill."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Renewed:
    """Prefill to decode: the loan stands."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Landed:
    """Decode to prefill."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Answer:
    """Prefill to decode: the verdict on `Landed`."""

    id: AttemptId
    verdict: Verdict


FromRouter = Run | Attach | Cancel
FromPrefill = Started | FirstTokens | Lent | Closed | BlocksReady | Sealed | Refusal | Renewed | Answer
FromDecode = Fetch | Renew | Landed | Joined | Tokens | Report
Body = FromRouter | FromPrefill | FromDecode


@dataclass(frozen=True, slots=True)
class Message:
    """One message; a process of another epoch than it is meant for refuses it."""

    source: MemberId
    target: MemberId
    body: Body

    def __str__(self) -> str:
        return f"says to {self.target.name}/{self.target.epoch}: {self.body}"


def attempt_of(body: Body) -> AttemptId:
    """The attempt a message is about."""
    match body:
        case Run(attempt) | Attach(attempt):
            return attempt.id
        case Sealed(manifest):
            return manifest.attempt
    return body.id


class Truth(Protocol):
    """What a perfect world would compute."""

    @property
    def layout(self) -> str: ...
    @property
    def block_tokens(self) -> int: ...

    def content(self, attempt: Attempt, place: int) -> Content:
        """The KV of one block of the attempt's common part."""

    def checksum(self, content: Content) -> int:
        """What a transport compares."""

    def token(
        self, attempt: Attempt, contents: tuple[Content, ...], choice: int, output: tuple[int, ...]
    ) -> SampledToken:
        """What a worker samples that sees these blocks and has `output` of this choice behind it."""
