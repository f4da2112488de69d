"""The two legs of a request's current attempt: opened, cancelled and counted on their members. Decides nothing.

Owns the prefill call's task, the attempt's place on a decode session, and its placements on the fleet.
"""

import asyncio
from dataclasses import dataclass

from common.types.attempt import Attempt
from common.types.ids import AttemptId, Role
from common.types.member import Hello
from router.events import LegFailed, Sink
from router.membership import OnLost, Placement
from router.policy.snapshot import Member, Need
from router.prefill_leg import run_prefill
from router.reach import Reach
from router.session import Session


@dataclass(slots=True)
class _PrefillLeg:
    task: asyncio.Task[None]
    placement: Placement


@dataclass(slots=True)
class _DecodeLeg:
    id: AttemptId
    session: Session
    stream: int
    placement: Placement


class Legs:
    """At most one leg of each kind at a time: those of the current attempt. Tasks belong to the request's scope."""

    def __init__(self, reach: Reach, scope: asyncio.TaskGroup) -> None:
        self._reach = reach
        self._scope = scope
        self._prefill: _PrefillLeg | None = None
        self._decode: _DecodeLeg | None = None

    def run_prefill(
        self, attempt: Attempt, member: Member, *, lend: bool, remaining_s: float, sink: Sink, now: float
    ) -> None:
        """Raises PeerLost when the member is gone."""
        placement = self._reach.fleet.place(member, Need.of(attempt), now, _lost(Role.PREFILL, sink), computes=True)
        hello = member.hello
        call = run_prefill(
            self._reach.links.to(hello),
            hello,
            self._reach.router_epoch,
            attempt,
            lend=lend,
            remaining_s=remaining_s,
            sink=sink,
        )
        self._prefill = _PrefillLeg(self._scope.create_task(call), placement)

    def attach(
        self, attempt: Attempt, member: Member, source: Hello | None, *, remaining_s: float, sink: Sink, now: float
    ) -> None:
        """Raises PeerLost when the member is gone."""
        on_lost = _lost(Role.DECODE, sink)
        placement = self._reach.fleet.place(member, Need.of(attempt), now, on_lost, computes=source is None)
        session = self._reach.sessions.to(member.hello)
        stream = session.attach(attempt, remaining_s, source, sink)
        self._decode = _DecodeLeg(attempt.id, session, stream, placement)

    def cancel_choice(self, id: AttemptId, choice: int) -> None:
        leg = self._decode
        if leg is not None and leg.id == id:
            leg.session.cancel(leg.stream, (choice,))

    def computed(self, leg: Role, now: float) -> None:
        """The prompt is no backlog of this leg's member any more. Repeating it changes nothing."""
        open_leg = self._prefill if leg is Role.PREFILL else self._decode
        if open_leg is not None:
            open_leg.placement.computed(now)

    def close_prefill(self) -> None:
        """The loan ended: the member no longer works for this request."""
        leg, self._prefill = self._prefill, None
        if leg is not None:
            leg.placement.close()
            if leg.task is not asyncio.current_task():
                leg.task.cancel()

    def cancel(self) -> None:
        """Both legs; what they have ended already is left alone. Repeating it changes nothing."""
        self.close_prefill()
        leg, self._decode = self._decode, None
        if leg is not None:
            leg.placement.close()
            leg.session.cancel(leg.stream)


def _lost(leg: Role, sink: Sink) -> OnLost:
    """Turns a member's end into its leg's failure."""
    return lambda error: sink(LegFailed(leg, error))
