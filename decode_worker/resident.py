"""One attempt inside a decode worker's scheduler: where it stands, and the sequences it consists of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from common.engine.sequence import Sequence
from common.types.ids import AttemptId


class Phase(Enum):
    """A hand-off goes QUEUED, RESERVED, FORKED; a local prompt QUEUED, COMPUTING, FORKED."""

    QUEUED = "waits for room for the first time"
    RESERVED = "has blocks that a fetch fills"
    QUARANTINED = "has blocks that a stray copy may still write into"
    COMPUTING = "its common part is computed here"
    FORKED = "each choice is a sequence of its own"


@dataclass(slots=True, eq=False)
class Resident:
    """`choices` are the unfinished ones, once forked; until then the common part stands for all."""

    common: Sequence
    local: bool
    since: float
    phase: Phase = Phase.QUEUED
    choices: dict[int, Sequence] = field(default_factory=dict)

    @property
    def id(self) -> AttemptId:
        return self.common.attempt.id

    @property
    def sequences(self) -> Iterator[Sequence]:
        return iter(tuple(self.choices.values()) if self.phase is Phase.FORKED else (self.common,))


def num_rows(sequence: Sequence) -> int:
    """Rows of the batch a sequence takes, or will take once it has forked."""
    return len(sequence.wanted) if sequence.choice is None else 1
