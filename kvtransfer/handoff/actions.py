"""What the lender's and the lander's machines ask of the world around them: frozen, in the order to perform them.

The router's machine has its own words in `request.py`.
"""

from dataclasses import dataclass

from common.types.handoff import FailureKind, LoanEnd, Verdict
from common.types.ids import AttemptId
from common.types.kv import Manifest, Pair

__all__ = [
    "AskLanded",
    "Closed",
    "CopyBlocks",
    "FailureKind",
    "Fence",
    "Free",
    "FreeBlocks",
    "JoinBatch",
    "LanderAction",
    "LenderAction",
    "LoanEnd",
    "OpenFetch",
    "Overdue",
    "QuarantineBlocks",
    "Report",
    "ReserveBlocks",
    "StartLocal",
    "Verdict",
]


@dataclass(frozen=True, slots=True)
class Free:
    """Prefill: stop computing this attempt and give its blocks back."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Closed:
    """Prefill: the loan ended; tell the router's call and end the fetcher's stream."""

    id: AttemptId
    end: LoanEnd


LenderAction = Free | Closed


@dataclass(frozen=True, slots=True)
class ReserveBlocks:
    """Set blocks aside for the attempt's common part; answer with `reserved`."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class StartLocal:
    """Compute the attempt here from the start: nobody lends its KV."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class OpenFetch:
    """Follow the lender's list of blocks; answer with `ready`, `sealed`, `source_lost` or `refused`."""

    id: AttemptId
    num_skip_blocks: int


@dataclass(frozen=True, slots=True)
class CopyBlocks:
    """Copy these and check each checksum on the copied bytes.

    Answer with `copied` only when nothing of this copy can write any more, whether it succeeded or not.
    """

    id: AttemptId
    copy: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class AskLanded:
    """Send `Landed`, again while unanswered; answer with `verdict`, or `source_lost` when the worker is gone."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class JoinBatch:
    """The reserved blocks hold this attempt's KV: decode from here on."""

    id: AttemptId
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class QuarantineBlocks:
    """A copy may still write into these blocks; keep them away from everyone until `FreeBlocks`."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Fence:
    """Make every write into this attempt's blocks impossible; answer with `drained` once it is."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Overdue:
    """A fence has not answered for too long: the worker says so and restarts itself."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class FreeBlocks:
    """Forget the attempt and give its blocks back."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the router that the attempt ended here without an answer."""

    id: AttemptId
    kind: FailureKind


LanderAction = (
    ReserveBlocks
    | StartLocal
    | OpenFetch
    | CopyBlocks
    | AskLanded
    | JoinBatch
    | QuarantineBlocks
    | Fence
    | Overdue
    | FreeBlocks
    | Report
)
