"""Machines that break one rule each, to show that the explorer would notice."""

from dataclasses import dataclass
from typing import TypeVar

from common.types.attempt import Attempt
from common.types.errors import StaleAttempt
from common.types.handoff import FailureKind, Verdict
from common.types.ids import AttemptId
from common.types.sampling import SampledToken
from common.types.timeouts import Timeouts
from kvtransfer.handoff.actions import LanderAction, LenderAction
from kvtransfer.handoff.arrival import Arrival, LandingState
from kvtransfer.handoff.land import Lander
from kvtransfer.handoff.lend import Lender
from kvtransfer.handoff.request import RequestRun
from kvtransfer.handoff.seen import SeenAttempts
from loadtest.simulator.decode_site import CopyId, DecodeSite
from loadtest.simulator.explorer import World
from loadtest.simulator.rules import HONEST, Rules
from loadtest.simulator.small_world import Size, small_world
from loadtest.simulator.words import Message

End = TypeVar("End")


class AdmitsAll(SeenAttempts[End]):
    """A lower attempt than one already seen is let in."""

    __slots__ = ()

    def admit(self, id: AttemptId) -> None:
        newest = self._newest.get(id.request_id)
        if newest == id:
            raise StaleAttempt("the same again")
        self._newest[id.request_id] = id


class LenderWithoutFencing(Lender):
    def __init__(self, timeouts: Timeouts) -> None:
        super().__init__(timeouts)
        self._seen = AdmitsAll()


class LanderWithoutFencing(Lander):
    def __init__(self, layout: str, timeouts: Timeouts) -> None:
        super().__init__(layout, timeouts)
        self._seen = AdmitsAll()


class AlwaysReleased(Lender):
    """`Landed` is answered without comparing."""

    def landed(self, id: AttemptId) -> tuple[Verdict, tuple[LenderAction, ...]]:
        return Verdict.RELEASED, super().landed(id)[1]


class NeverExpires(Lender):
    """No lease ever lapses."""

    def tick(self, now: float) -> tuple[LenderAction, ...]:
        return ()


class BelievesSilence(Lander):
    """An unanswered `Landed` is taken for a yes."""

    def verdict(self, id: AttemptId, verdict: Verdict | None, now: float) -> tuple[LanderAction, ...]:
        return super().verdict(id, verdict or Verdict.RELEASED, now)


class BelievesGone(Lander):
    """Any answer is taken for a yes."""

    def verdict(self, id: AttemptId, verdict: Verdict | None, now: float) -> tuple[LanderAction, ...]:
        return super().verdict(id, verdict and Verdict.RELEASED, now)


class NeverAsks(Lander):
    """Joins without asking the lender."""

    def _verify(self, arrival: Arrival) -> tuple[LanderAction, ...]:
        return self._commit(arrival) if super()._verify(arrival) else ()


class SkipsChecksums(Lander):
    """A copy with a wrong checksum is as good as any."""

    def copied(self, id: AttemptId, copy: int, ok: bool, now: float) -> tuple[LanderAction, ...]:
        return super().copied(id, copy, True, now)


class Hurries(Lander):
    """Asks and joins while copies are still under way."""

    def _verify(self, arrival: Arrival) -> tuple[LanderAction, ...]:
        copies, arrival.copies = arrival.copies, set()
        actions = super()._verify(arrival)
        arrival.copies = copies
        return actions

    def _commit(self, arrival: Arrival) -> tuple[LanderAction, ...]:
        copies, arrival.copies = arrival.copies, set()
        actions = super()._commit(arrival)
        arrival.copies = copies
        return actions


class TakesHalf(Lander):
    """A lost lender is taken for a finished one, whatever was fetched."""

    def source_lost(self, id: AttemptId, now: float) -> tuple[LanderAction, ...]:
        arrival = self._arrivals.get(id)
        if arrival is not None and arrival.state is LandingState.FETCHING and arrival.manifest is not None:
            arrival.copies = set()
            return self._commit(arrival)
        return super().source_lost(id, now)


class FreesAtOnce(Lander):
    """No quarantine: an abort frees blocks a copy still writes into."""

    def _abort(self, id: AttemptId | None, kind: FailureKind | None, now: float) -> tuple[LanderAction, ...]:
        arrival = None if id is None else self._arrivals.get(id)
        if arrival is not None:
            arrival.copies = set()
        return super()._abort(id, kind, now)


class TimerFrees(Lander):
    """A timer frees quarantined blocks instead of asking for the fence."""

    def _expire(self, arrival: Arrival, now: float) -> tuple[LanderAction, ...]:
        if arrival.state is LandingState.QUARANTINED:
            return self._free(arrival.attempt.id)
        return super()._expire(arrival, now)


class NeverFences(Lander):
    """What is in quarantine waits for ever."""

    def tick(self, now: float) -> tuple[LanderAction, ...]:
        for arrival in self._arrivals.values():
            if arrival.state is LandingState.QUARANTINED:
                arrival.expires_at = float("inf")
        return super().tick(now)


class HastyTransport(DecodeSite):
    """Says that a copy is over while it still writes."""

    def break_copy(self, copy_id: CopyId, now: float) -> list[Message]:
        copy = self.copies[copy_id]
        sent = super().break_copy(copy_id, now)
        self.copies[copy_id] = copy
        return sent


class HearsEveryAttempt(RequestRun):
    """Tokens of earlier attempts are delivered too."""

    __slots__ = ()

    def accept_token(self, id: AttemptId, token: SampledToken) -> bool:
        return super().accept_token(self.id, token)


class Repeats(RequestRun):
    """A token that came before is delivered again."""

    __slots__ = ()

    def accept_token(self, id: AttemptId, token: SampledToken) -> bool:
        repeated = id == self.id and token.index < len(self.delivered[token.choice])
        return super().accept_token(id, token) or repeated


class StartsOver(RequestRun):
    """A retry forgets what was delivered."""

    __slots__ = ()

    def _next_attempt(self) -> Attempt:
        attempt = super()._next_attempt()
        prompt = attempt.token_ids[: attempt.num_prompt_tokens]
        self.delivered = {choice: [] for choice in self.delivered}
        return Attempt(attempt.id, prompt, len(prompt), attempt.choices, attempt.sampling)


@dataclass(frozen=True, slots=True)
class Break:
    """A rule, machines that break it, the world it takes, and words of the complaint that must follow."""

    rule: str
    complaint: str
    rules: Rules = HONEST
    checksums: bool = True
    num_blocks: int = 1
    max_crashes: int = 0
    deaf_to_epochs: bool = False

    def world(self) -> World:
        size = Size(num_blocks=self.num_blocks, prefill_pool=self.num_blocks, decode_pool=self.num_blocks)
        return small_world(
            size,
            self.rules,
            checksums=self.checksums,
            max_crashes=self.max_crashes,
            deaf_to_epochs=self.deaf_to_epochs,
            forgetting=False,
        )


BREAKS = (
    Break("the lender refuses lower attempts", "lives again", Rules(lender=LenderWithoutFencing)),
    Break("the lander refuses lower attempts", "lives again", Rules(lander=LanderWithoutFencing)),
    Break("another epoch is refused", "decodes from", checksums=False, max_crashes=1, deaf_to_epochs=True),
    Break("Landed is a compare-and-set", "decodes from", Rules(lender=AlwaysReleased), checksums=False),
    Break("silence is no yes", "decodes from", Rules(lander=BelievesSilence), checksums=False),
    Break("Gone is no yes", "decodes from", Rules(lander=BelievesGone), checksums=False),
    Break("the lender is asked", "decodes from", Rules(lander=NeverAsks), checksums=False),
    Break("checksums count", "decodes from", Rules(lander=SkipsChecksums)),
    Break("the own copy is complete", "decodes from", Rules(lander=Hurries), num_blocks=2),
    Break("a lost lender is no finished one", "decodes from", Rules(lander=TakesHalf)),
    Break("blocks under a copy are quarantined", "not its own", Rules(lander=FreesAtOnce)),
    Break("a timer never frees quarantined blocks", "not its own", Rules(lander=TimerFrees)),
    Break("a copy is over only when it cannot write", "not its own", Rules(decode=HastyTransport)),
    Break("a fence is asked for", "never given back", Rules(lander=NeverFences)),
    Break("a lease lapses", "never given back", Rules(lender=NeverExpires)),
    Break("only the current attempt delivers", "mixes two attempts", Rules(run=HearsEveryAttempt)),
    Break("a token is delivered once", "gaps or twice", Rules(run=Repeats)),
    Break("a retry continues", "forgot", Rules(run=StartsOver)),
)
