"""Attempts, blocks and manifests the machines' tests are written with."""

from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.sampling import SampledToken, Sampling
from common.types.timeouts import Timeouts

LAYOUT = "layout"
TIMEOUTS = Timeouts()
X = AttemptId("r-1", 1)
LATER = AttemptId("r-1", 2)
REFS = tuple(BlockRef(10 + place, 7, 1000 + place) for place in range(3))
OWN = (4, 5, 6)


def attempt(id: AttemptId = X, choices: tuple[Choice, ...] = (Choice(0),), **sampling: int) -> Attempt:
    """A prompt of ten tokens: three blocks of four."""
    return Attempt(id, tuple(range(10)), 10, choices, Sampling(**{"max_tokens": 8, **sampling}))  # type: ignore[arg-type]


def manifest(id: AttemptId = X, blocks: tuple[BlockRef, ...] = REFS) -> Manifest:
    return Manifest(id, LAYOUT, 10, blocks, (SampledToken(0, 0, 42),))
