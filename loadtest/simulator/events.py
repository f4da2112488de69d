"""What can happen next at one site, for an explorer that tries everything: the adversary's menu.

Time stands still at 0; a timer fires by moving its expiry there. Members are known by name: `P`, `D1`, ...
"""

from dataclasses import dataclass
from math import inf

from common.types.handoff import FailureKind
from common.types.ids import AttemptId, Role
from kvtransfer.handoff.arrival import LandingState
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.decode_site import CopyId, DecodeSite
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.words import Content, Message

MAX_TIMERS = 100

Site = RouterSite | PrefillSite | DecodeSite


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message arrives: late, twice, out of order, or never."""

    message: Message


@dataclass(frozen=True, slots=True)
class Route:
    """The router chooses a member."""

    id: AttemptId
    member: MemberId
    local: bool


@dataclass(frozen=True, slots=True)
class Suspect:
    """The router takes a leg for dead, rightly or not."""

    id: AttemptId
    leg: Role


@dataclass(frozen=True, slots=True)
class Timer:
    """The attempt's timer fires; the request's deadline when it is the router's."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Compute:
    """Prefill computes one block, or decode one step."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Write:
    """A copy writes its next block."""

    copy_id: CopyId
    content: Content


@dataclass(frozen=True, slots=True)
class Break:
    """A copy fails."""

    copy_id: CopyId


@dataclass(frozen=True, slots=True)
class Fenced:
    """A fence that was asked for stands."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The last `Landed` went unanswered."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class SourceLost:
    """Decode takes the lender's process for gone."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Crash:
    """The process dies and another takes its place."""

    name: str


Event = Deliver | Route | Suspect | Timer | Compute | Write | Break | Fenced | Unanswered | SourceLost | Crash
TROUBLES = (Suspect, Timer, Break, Unanswered, SourceLost)
"""What a quiet world has none of."""


def own_events(site: Site, *, trusting: bool) -> list[Event]:
    """What may happen here without a message. A trusting decode worker believes that a lender is gone."""
    if isinstance(site, PrefillSite):
        timers = [Timer(id) for id in site.sequences]
        return [*(Compute(id) for id in site.computable()), *timers]
    if isinstance(site, DecodeSite):
        return _decode_events(site, trusting=trusting)
    live = [run for run in site.runs.values() if not run.ended]
    events: list[Event] = [Timer(run.id) for run in live]
    events += [Suspect(run.id, leg) for run in live for leg in site.legs.get(run.id, {}).values()]
    return events


def _decode_events(site: DecodeSite, *, trusting: bool) -> list[Event]:
    events: list[Event] = [Break(copy_id) for copy_id in site.copies]
    for id, sequence in site.sequences.items():
        state = site.lander.state(id)
        events.append(Fenced(id) if sequence.fence_asked else Timer(id))
        if sequence.running:
            events.append(Compute(id))
        if state is LandingState.VERIFIED:
            events.append(Unanswered(id))
        if trusting and state in (LandingState.FETCHING, LandingState.VERIFIED):
            events.append(SourceLost(id))
    return events


def apply(site: Site, event: Event) -> list[Message]:
    """Lets one thing happen, and returns what is sent because of it."""
    if isinstance(event, Deliver):
        return site.receive(event.message, 0.0)
    if isinstance(site, PrefillSite):
        return _apply_prefill(site, event)
    if isinstance(site, DecodeSite):
        return _apply_decode(site, event)
    match event:
        case Route(id, member, local):
            return site.route(id, member, 0.0, local=local)
        case Suspect(id, leg):
            return site.fail(id, leg, FailureKind.INTERNAL, 0.0)
        case Timer(id):
            site.runs[id.request_id].deadline = 0.0
            return site.expire(0.0)
    raise TypeError(f"a router knows no {event}")


def _apply_prefill(site: PrefillSite, event: Event) -> list[Message]:
    match event:
        case Compute(id):
            return site.compute(id, 0.0)
        case Timer(id):
            site.lender._loans[id].expires_at = 0.0
            return site.expire(0.0)
    raise TypeError(f"a prefill worker knows no {event}")


def _apply_decode(site: DecodeSite, event: Event) -> list[Message]:
    match event:
        case Compute(id):
            return site.step(id, 0.0)
        case Write(copy_id, content):
            return site.write(copy_id, content, 0.0)
        case Break(copy_id):
            return site.break_copy(copy_id, 0.0)
        case Fenced(id):
            return site.fenced(id, 0.0)
        case Unanswered(id):
            return site.answered(id, None, 0.0)
        case SourceLost(id):
            return site.source_lost(id, 0.0)
        case Timer(id):
            site.lander._arrivals[id].expires_at = 0.0
            return site.expire(0.0)
    raise TypeError(f"a decode worker knows no {event}")


def comes_to_rest(site: Site) -> bool:
    """With no message any more, timers and fences alone: whether everything comes back and every request ends."""
    if isinstance(site, RouterSite):
        site.expire(inf)
        return site.errors.keys() == site.runs.keys()
    machine = site.lender if isinstance(site, PrefillSite) else site.lander
    for _ in range(MAX_TIMERS):
        expiry = machine.next_expiry()
        if expiry is None:
            break
        site.expire(expiry)
        if isinstance(site, DecodeSite):
            for id in [id for id, sequence in site.sequences.items() if sequence.fence_asked]:
                site.fenced(id, expiry)
    return site.pool.counts().num_free == site.pool.num_blocks


def ended(site: Site) -> frozenset[object]:
    """What must never live again here."""
    if isinstance(site, RouterSite):
        return frozenset((request_id, site.runs[request_id].state) for request_id in site.errors)
    if isinstance(site, PrefillSite):
        return frozenset((id, end) for id, end in site.lender._seen._ended.items() if id not in site.sequences)
    return frozenset((id, end) for id, end in site.lander._seen._ended.items() if id not in site.sequences)


def choices(site: RouterSite, prefill: tuple[MemberId, ...], decode: tuple[MemberId, ...], local: bool) -> list[Route]:
    """How the router may route what waits for it. The first attempt goes to the first decode member: they are alike."""
    routes = []
    for id, leg in site.choosing.items():
        members = decode[:1] if id.number == 1 else decode
        if leg is Role.DECODE:
            routes += [Route(id, member, False) for member in members]
        else:
            routes += [Route(id, member, False) for member in prefill]
            routes += [Route(id, member, True) for member in members if local]
    return routes
