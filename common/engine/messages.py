"""What crosses between a worker's event loop and its engine thread: frozen commands in, frozen events out."""

from collections.abc import Iterator
from dataclasses import dataclass

from common.types.attempt import Attempt
from common.types.errors import BatonError
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.sampling import SampledToken, TokenLogprobs


@dataclass(frozen=True, slots=True)
class Submit:
    """Prefill: compute the common part; keep its blocks for a fetcher when `lend`."""

    attempt: Attempt
    lend: bool


@dataclass(frozen=True, slots=True)
class Reserve:
    """Decode: set blocks aside for the common part, whose KV will be fetched."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Join:
    """Decode: the reserved blocks hold verified KV; go on after these first tokens."""

    id: AttemptId
    first_tokens: tuple[SampledToken, ...]


@dataclass(frozen=True, slots=True)
class SubmitLocal:
    """Decode: compute the common part here, mixed into the running batch."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Decode: a copy may still write into this attempt's blocks; keep them until `Drop`."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget an attempt, or some of its choices, and give its blocks back. Unknown ids are ignored."""

    id: AttemptId
    choices: tuple[int, ...] = ()


Command = Submit | Reserve | Join | SubmitLocal | Quarantine | Drop


@dataclass(frozen=True, slots=True)
class Started:
    """The first chunk of an attempt is planned."""

    id: AttemptId
    num_cached_tokens: int
    queue_s: float


@dataclass(frozen=True, slots=True)
class BlocksReady:
    """Blocks of a lent attempt, final from now on."""

    id: AttemptId
    first_block: int
    refs: tuple[BlockRef, ...]


@dataclass(frozen=True, slots=True)
class PromptScores:
    """Log probabilities of a stretch of the prompt, from its second token on."""

    id: AttemptId
    tokens: tuple[TokenLogprobs, ...]


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """One token for each choice without a tail."""

    id: AttemptId
    tokens: tuple[SampledToken, ...]
    prefill_s: float


@dataclass(frozen=True, slots=True)
class Sealed:
    """All blocks of a lent attempt are computed."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Reserved:
    """Blocks for the whole common part; the first `num_cached_blocks` already hold their KV."""

    id: AttemptId
    blocks: tuple[int, ...]
    num_cached_blocks: int


@dataclass(frozen=True, slots=True)
class Joined:
    """The attempt is part of the running batch."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class StepTokens:
    """Every token of one step."""

    rows: tuple[tuple[AttemptId, SampledToken], ...]


@dataclass(frozen=True, slots=True)
class MoreTokens:
    """Every token of a step in which each of these choices got one and nothing else happened: none of them ended."""

    ids: tuple[AttemptId, ...]
    choices: tuple[int, ...]
    first_indices: tuple[int, ...]
    num_steps: int
    """Since the tokens of these indices."""
    token_ids: list[int]

    @property
    def rows(self) -> Iterator[tuple[AttemptId, SampledToken]]:
        """As those of `StepTokens`; made where they are wanted."""
        indices = [index + self.num_steps for index in self.first_indices]
        return zip(self.ids, map(SampledToken, self.choices, indices, self.token_ids), strict=True)


@dataclass(frozen=True, slots=True)
class Refused:
    """The attempt cannot be served here; its blocks are free."""

    id: AttemptId
    error: BatonError


@dataclass(frozen=True, slots=True)
class PrefixChanged:
    """Prefix hashes (wire form) that became available or were evicted in this step."""

    added: tuple[int, ...]
    removed: tuple[int, ...]


Event = (
    Started
    | BlocksReady
    | PromptScores
    | FirstTokens
    | Sealed
    | Reserved
    | Joined
    | StepTokens
    | MoreTokens
    | Refused
    | PrefixChanged
)


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy the engine is, read after each step. Since when the oldest block is cached or in quarantine is on the
    engine's clock; the last three count from the start.
    """

    num_free_blocks: int = 0
    num_cached_blocks: int = 0
    num_quarantined_blocks: int = 0
    num_running: int = 0
    num_waiting: int = 0
    backlog_tokens: int = 0
    prefill_tokens_per_s: float = 0.0
    step_ms: float = 0.0
    num_owned_blocks: int = 0
    num_sealed_blocks: int = 0
    cached_at: float | None = None
    quarantined_at: float | None = None
    num_queried_tokens: int = 0
    num_hit_tokens: int = 0
    num_preempted: int = 0
