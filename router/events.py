"""What the two legs of an attempt tell the request that sent it. Frozen; the same whether a wire or a test says it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from common.types.errors import BatonError, PeerLost
from common.types.handoff import FailureKind, LoanEnd
from common.types.ids import Role
from common.types.sampling import SampledToken, TokenLogprobs


@dataclass(frozen=True, slots=True)
class PrefillStarted:
    """The first chunk is planned: now is the moment to choose the decode member."""

    num_cached_tokens: int
    queue_ms: float


@dataclass(frozen=True, slots=True)
class PromptScored:
    """Log probabilities of a stretch of the prompt, in order."""

    tokens: tuple[TokenLogprobs, ...]


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """One token for each choice without a tail, sampled by prefill."""

    tokens: tuple[SampledToken, ...]
    prefill_ms: float


@dataclass(frozen=True, slots=True)
class Sealed:
    """All blocks are computed and lent."""

    num_blocks: int


@dataclass(frozen=True, slots=True)
class LoanClosed:
    """The prefill leg ended in order."""

    end: LoanEnd


@dataclass(frozen=True, slots=True)
class DecodeJoined:
    """The attempt is in the running batch; what its hand-off cost."""

    num_cached_tokens: int
    num_bytes: int
    transport: str
    exposed_ms: float
    copy_ms: float


class Tokens(NamedTuple):
    """What one decode step produced for this attempt."""

    tokens: tuple[SampledToken, ...]


@dataclass(frozen=True, slots=True)
class LegFailed:
    """A leg ended without its part: the member is lost, refused, or said why it could not."""

    leg: Role
    cause: FailureKind | BatonError | PeerLost


LegEvent = PrefillStarted | PromptScored | FirstTokens | Sealed | LoanClosed | DecodeJoined | Tokens | LegFailed
Sink = Callable[[LegEvent], None]
