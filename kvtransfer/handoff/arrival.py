"""One attempt on its way into a decode worker's batch: what the lander knows of it.

It compares what the lender said at different times; it knows nothing of time-outs, peers or who acts on it.
"""

from enum import Enum
from math import inf

from common.types.attempt import Attempt
from common.types.kv import BlockRef, Manifest, Pair


class LandingState(Enum):
    """Where an attempt stands on this worker."""

    WAITING = "waiting"
    FETCHING = "fetching"
    VERIFIED = "verified"
    DECODING = "decoding"
    QUARANTINED = "quarantined"
    DONE = "done"


class Arrival:
    """One attempt on its way into this worker's batch."""

    __slots__ = (
        "attempt",
        "blocks",
        "copies",
        "deadline",
        "expires_at",
        "manifest",
        "num_copies",
        "num_skip_blocks",
        "overdue_at",
        "refs",
        "state",
    )

    def __init__(self, attempt: Attempt, state: LandingState, deadline: float) -> None:
        self.attempt = attempt
        self.state = state
        self.deadline = deadline
        self.expires_at = deadline
        self.overdue_at = inf
        self.blocks: tuple[int, ...] = ()
        self.num_skip_blocks = 0
        self.refs: dict[int, BlockRef] = {}
        self.copies: set[int] = set()
        self.num_copies = 0
        self.manifest: Manifest | None = None

    def announce(self, first_block: int, refs: tuple[BlockRef, ...]) -> tuple[Pair, ...] | None:
        """What is to be copied now that the lender named these blocks; None when it contradicts itself."""
        pairs = []
        for place, ref in enumerate(refs, first_block):
            if not 0 <= place < len(self.blocks) or self.refs.get(place, ref) != ref:
                return None
            if place >= self.num_skip_blocks and place not in self.refs:
                pairs.append(Pair(ref, self.blocks[place]))
            self.refs[place] = ref
        return tuple(pairs)

    def describes(self, manifest: Manifest, layout: str) -> bool:
        """Whether this can be what was sealed for this attempt."""
        first_tokens = tuple((token.choice, token.index) for token in manifest.first_tokens)
        return (
            manifest.layout == layout
            and manifest.num_tokens == len(self.attempt.token_ids)
            and len(manifest.blocks) == len(self.blocks)
            and first_tokens == tuple((choice, self.attempt.next_index) for choice in self.attempt.fresh_choices)
        )
