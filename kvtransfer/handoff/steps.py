"""What the router's machine asks of the world around it: frozen, in the order to perform them."""

from dataclasses import dataclass

from common.types.attempt import Attempt
from common.types.errors import BatonError
from common.types.ids import AttemptId


@dataclass(frozen=True, slots=True, order=True)
class MemberId:
    """One boot of one worker."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ChoosePrefill:
    """Choose a prefill member, or a decode member that prefills itself; answer `routed_prefill` or `routed_local`.

    `avoid` holds members that failed earlier attempts: take one only when there is no other.
    """

    attempt: Attempt
    avoid: frozenset[MemberId]


@dataclass(frozen=True, slots=True)
class RunPrefill:
    """Call the prefill member. Without `lend` its first tokens are the last ones wanted."""

    attempt: Attempt
    member: MemberId
    lend: bool
    remaining_s: float


@dataclass(frozen=True, slots=True)
class ChooseDecode:
    """The prompt is being computed: choose a decode member on fresh load; answer `routed_decode`."""

    attempt: Attempt
    prefill: MemberId
    avoid: frozenset[MemberId]


@dataclass(frozen=True, slots=True)
class Attach:
    """Give the attempt to a decode member, which fetches from `source`, or prefills itself without one."""

    attempt: Attempt
    member: MemberId
    source: MemberId | None
    remaining_s: float


@dataclass(frozen=True, slots=True)
class CancelLegs:
    """Tell both legs, as far as there are any, to forget the attempt. Best effort: they would notice anyway."""

    id: AttemptId
    prefill: MemberId | None
    decode: MemberId | None


@dataclass(frozen=True, slots=True)
class CancelChoice:
    """Tell the decode member to stop one choice."""

    id: AttemptId
    decode: MemberId
    choice: int


@dataclass(frozen=True, slots=True)
class Done:
    """Everything asked for was delivered."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The request ends with this error."""

    error: BatonError


RequestAction = ChoosePrefill | RunPrefill | ChooseDecode | Attach | CancelLegs | CancelChoice | Done | Fail
