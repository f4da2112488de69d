"""What an explorer may forget: messages that can never matter again where they are going, histories without a future.

Both are claims about the machines under test, so the explorer checks each claim against every state it meets: a spent
message must change nothing, and must stay spent.
"""

from operator import itemgetter

from common.engine.messages import BlocksReady, FirstTokens, Joined, Sealed, Started
from common.types.handoff import LoanEnd
from kvtransfer.handoff.actions import Closed
from kvtransfer.handoff.arrival import LandingState
from kvtransfer.handoff.request import RequestState
from loadtest.simulator.decode_site import DecodeSite
from loadtest.simulator.events import Site
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.snapshot import freeze
from loadtest.simulator.words import Answer, Attach, Body, Cancel, Lent, Refusal, Run, Tokens, attempt_of

BEHIND = (LandingState.VERIFIED, LandingState.DECODING, LandingState.QUARANTINED, LandingState.DONE)


def canonical(site: Site) -> object:
    """A hashable form, equal for states with the same future."""
    if isinstance(site, RouterSite):
        live = {id: run for id, run in site.runs.items() if not run.ended}
        log = {id: site.log[id] for id in live}
        legs = {id: legs for id, legs in site.legs.items() if id.request_id in live}
        parts = (live, log, legs, site.choosing)
        answered = tuple((id, error is None) for id, error in sorted(site.errors.items(), key=itemgetter(0)))
        return (site.me, answered, *(freeze(part, frozenset({"avoid"})) for part in parts))
    if isinstance(site, DecodeSite):
        return freeze(site, frozenset({"_generations", "num_copies"}))
    return freeze(site)


def spent(site: Site, body: Body) -> bool:
    """Whether this message can change nothing here, now or later."""
    if isinstance(site, PrefillSite):
        return _spent_at_prefill(site, body)
    if isinstance(site, DecodeSite):
        return _spent_at_decode(site, body)
    return _spent_at_router(site, body)


def _spent_at_prefill(site: PrefillSite, body: Body) -> bool:
    id = attempt_of(body)
    newest = site.lender._seen.newest(id.request_id)
    if newest is None or not isinstance(body, Run | Cancel):
        return False
    if isinstance(body, Run):
        return newest.number >= id.number
    return newest.number > id.number or (newest == id and id not in site.sequences)


def _spent_at_decode(site: DecodeSite, body: Body) -> bool:
    id = attempt_of(body)
    state = site.lander.state(id)
    match body:
        case Attach():
            return state is not None
        case Cancel():
            newest = site.lander._seen.newest(id.request_id)
            superseded = newest is not None and newest.number > id.number
            return superseded or state in (LandingState.QUARANTINED, LandingState.DONE)
        case BlocksReady(_, first_block, refs) if state is LandingState.FETCHING:
            known = site.lander._arrivals[id].refs
            return all(known.get(place) == ref for place, ref in enumerate(refs, first_block))
        case BlocksReady() | Sealed() | Refusal():
            return state in BEHIND
        case Answer():
            return state in BEHIND[1:]
    return False


def _spent_at_router(site: RouterSite, body: Body) -> bool:
    id = attempt_of(body)
    run = site.runs.get(id.request_id)
    if run is None or run.ended or id.number < run.id.number:
        return True
    if id != run.id:
        return False
    match body:
        case Started():
            return run.state not in (RequestState.ADMITTED, RequestState.PREFILLING)
        case FirstTokens(_, tokens) | Tokens(_, tokens):
            return all(run.delivered[t.choice][t.index : t.index + 1] == [t.token_id] for t in tokens)
        case Lent():
            return run._legs.sealed
        case Joined():
            return run.state is RequestState.STREAMING
        case Closed(_, end):
            return end in (LoanEnd.RELEASED, LoanEnd.NOTHING_LENT) or run._left_to_decode()
    return False
