"""Whether a run kept the promises: exact tokens or a typed error in time, and every block back."""

from dataclasses import dataclass

from loadtest.simulator.decode_site import DecodeSite
from loadtest.simulator.fleet import Fleet
from loadtest.simulator.plan import Ask
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.words import Violation

LATENESS_S = 1e-6


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went."""

    num_requests: int
    num_answered: int
    num_failed: int
    num_lost_with_router: int
    num_retried: int
    num_tokens: int
    num_events: int


def judge(fleet: Fleet) -> Outcome:
    """Raises `Violation` when a promise was broken."""
    counts = {"answered": 0, "failed": 0, "lost": 0}
    num_retried = num_tokens = 0
    routers = [
        site for host in fleet.hosts.values() for site in (*host.past, host.site) if isinstance(site, RouterSite)
    ]
    for ask in fleet.plan.asks:
        request_id = ask.attempt.id.request_id
        router = next((router for router in routers if request_id in router.runs), None)
        counts[_fate(fleet, ask, router)] += 1
        if router is not None:
            num_retried += router.runs[request_id].id.number > 1
            num_tokens += len(router.log[request_id])
    for host in fleet.hosts.values():
        _check_rest(host.site)
    return Outcome(
        len(fleet.plan.asks),
        counts["answered"],
        counts["failed"],
        counts["lost"],
        num_retried,
        num_tokens,
        fleet.clock.num_events,
    )


def _fate(fleet: Fleet, ask: Ask, router: RouterSite | None) -> str:
    if router is None:
        return "lost"  # its router was down when it came
    request_id = ask.attempt.id.request_id
    run = router.runs[request_id]
    for choice in run.delivered:
        answer = fleet.truth.answer(ask.attempt, choice)
        delivered = [token.token_id for _, token in router.log[request_id] if token.choice == choice]
        if delivered != answer[: len(delivered)]:
            raise Violation(f"{request_id} was given {delivered} instead of {answer}")
        if request_id in router.errors and router.errors[request_id] is None and delivered != answer:
            raise Violation(f"{request_id} ended after {delivered} of {answer}")
    if request_id not in router.errors:
        if router.me in fleet.lost_routers:
            return "lost"
        raise Violation(f"{request_id} never ended")
    if router.ended_at[request_id] > run.deadline + LATENESS_S and router.me.name not in fleet.frozen_once:
        raise Violation(f"{request_id} ended after its deadline")
    error = router.errors[request_id]
    if error is not None and fleet.plan.calm:
        raise Violation(f"{request_id} failed on a calm day: {error!r}")
    return "answered" if error is None else "failed"


def _check_rest(site: object) -> None:
    if isinstance(site, RouterSite):
        site.check()
    elif isinstance(site, PrefillSite | DecodeSite):
        site.check()
        if site.pool.counts().num_free != site.pool.num_blocks:
            raise Violation(f"{site.me.name} did not get all its blocks back: {site.pool.counts()}")
