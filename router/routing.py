"""Chooses members for one request's attempts, on the fleet as it is at that moment. Remembers whom and why."""

from dataclasses import dataclass, field

from common.types.attempt import Attempt
from common.types.errors import BatonError, Unavailable
from common.types.ids import Role
from kvtransfer.handoff.steps import MemberId
from router.fleet import FleetView
from router.policy.decode import choose_decode
from router.policy.local import Goals
from router.policy.route import ModeRule, Route, choose_route, why_no_route
from router.policy.snapshot import Explanation, Member, Need, Snapshot


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator set for the routes and attempts of every request."""

    mode: ModeRule = ModeRule.AUTO
    max_attempts: int = 3
    wait_s: float = 15.0
    """How long a retry waits for a member to join when there is none."""
    goals: Goals = field(default=Goals())


class Routing:
    """Choices of one request. Members that failed it are taken only when there is no other."""

    def __init__(self, fleet: FleetView, rules: Rules) -> None:
        self.explanations: list[Explanation] = []
        self._fleet = fleet
        self._rules = rules
        self._chosen: dict[MemberId, Member] = {}

    def route(self, attempt: Attempt, avoid: frozenset[MemberId], now: float) -> Route | BatonError:
        """Where the attempt goes first, or what to tell the client."""
        snapshot, need, rules = self._snapshot(attempt, now), Need.of(attempt), self._rules
        for view in (snapshot.without(avoid), snapshot):
            route = choose_route(view, need, rules.mode, rules.goals)
            if route is not None:
                break
        else:
            return why_no_route(snapshot, need)
        self._remember(route.member, *route.explanations)
        return route

    def decode(
        self, attempt: Attempt, prefill: MemberId, avoid: frozenset[MemberId], now: float
    ) -> Member | BatonError:
        """The member that fetches from this prefill member, or what to tell the client."""
        snapshot, need = self._snapshot(attempt, now), Need.of(attempt)
        layout = self._chosen[prefill].hello.layout
        for view in (snapshot.without(avoid), snapshot):
            best, why = choose_decode(view, need, layout)
            if best is not None:
                self._remember(best.member, why)
                return best.member
        return Unavailable("no decode member can take this request", Role.DECODE.value)

    def member(self, id: MemberId) -> Member:
        """One that was chosen before."""
        return self._chosen[id]

    def _snapshot(self, attempt: Attempt, now: float) -> Snapshot:
        return self._fleet.snapshot(self._fleet.hashes_of(attempt.token_ids, attempt.cache_salt), now)

    def _remember(self, member: Member, *explanations: Explanation) -> None:
        self._chosen[member.id] = member
        self.explanations.extend(explanations)
