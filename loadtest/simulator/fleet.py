"""A whole fleet on virtual time: real machines, real pools, and everything that can go wrong on the way.

A run is a function of its plan. `judge` (in `outcome.py`) says whether the promises held.
"""

from collections.abc import Callable
from random import Random

from common.types.ids import AttemptId, Role
from common.types.timeouts import Timeouts
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.clock import Clock
from loadtest.simulator.events import Site
from loadtest.simulator.host import Host
from loadtest.simulator.plan import Ask, Blow, Plan
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.rules import HONEST, Rules
from loadtest.simulator.token_truth import TokenTruth
from loadtest.simulator.words import Content, Message

MAX_EVENTS = 400_000
MAX_ATTEMPTS = 3
MAX_WAIT_S = 2.0


class Fleet:
    """All processes, the network between them, and what the routers know of the members."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None, rules: Rules = HONEST) -> None:
        self.plan = plan
        self.timeouts = Timeouts()
        self.clock = Clock()
        self.random = Random(plan.seed ^ 0x5EED)
        self.truth = TokenTruth()
        self.frozen_once: set[str] = set()
        self.lost_routers: set[MemberId] = set()
        self._trace = trace
        self._rules = rules
        self._cuts: dict[frozenset[str], int] = {}
        self.hosts = {name: Host(name, self, self._boot) for name in (*plan.routers, *plan.prefills, *plan.decodes)}
        members = [self.hosts[name].me for name in (*plan.prefills, *plan.decodes)]
        self._views = {name: {member.name: member for member in members} for name in plan.routers}

    def run(self) -> None:
        """Until every request ended and every timer rang."""
        for ask in self.plan.asks:
            self.clock.at(ask.at_s, self._admit, ask)
        for blow in self.plan.blows:
            self.clock.at(blow.at_s, self._strike, blow)
        self.clock.run(MAX_EVENTS)

    def note(self, name: str, what: object) -> None:
        if self._trace is not None:
            self._trace(f"{self.clock.now:10.6f} {name:10} {what}")

    def send(self, message: Message) -> None:
        """Messages may be lost, late or doubled; across a cut none passes."""
        self.note(message.source.name, message)
        plan, random = self.plan, self.random
        copies = 2 if plan.repeat and random.random() < plan.repeat else 1
        for _ in range(copies):
            if plan.loss and random.random() < plan.loss:
                continue
            late = plan.late and random.random() < plan.late
            delay_s = random.uniform(0.05, 5.0) if late else random.uniform(0.0002, 0.002)
            self.clock.after(delay_s, self._arrive, message)

    def _arrive(self, message: Message) -> None:
        if self.reachable(message.source.name, message.target.name):
            self.hosts[message.target.name].receive(message)

    def reachable(self, a: str, b: str) -> bool:
        return not self._cuts or frozenset((a, b)) not in self._cuts

    def read(self, reader: MemberId, source: MemberId, block: int) -> Content:
        """What a one-sided read finds, whether the process still lives or not."""
        site = self.hosts[source.name].site
        return site.read(source, block) if isinstance(site, PrefillSite) else None

    def route(self, host: Host, id: AttemptId) -> None:
        """The router's choice, a little later, on what it knows then."""
        router = host.site
        if isinstance(router, RouterSite):
            leg = router.choosing.pop(id)
            self.clock.after(self.random.uniform(0, 0.001), self._choose, host, host.me, id, leg, self.clock.now)

    def _choose(self, host: Host, me: MemberId, id: AttemptId, leg: Role, since: float) -> None:
        def choose(site: Site, now: float) -> list[Message]:
            if not isinstance(site, RouterSite):
                return []
            local = leg is Role.PREFILL and self.random.random() < self.plan.local
            names = self.plan.prefills if leg is Role.PREFILL and not local else self.plan.decodes
            known = [member for name, member in sorted(self._views[host.name].items()) if name in names]
            avoid = site.runs[id.request_id].avoid
            members = [member for member in known if member not in avoid] or known
            if not members and now < since + MAX_WAIT_S:
                self.clock.after(0.1, self._choose, host, me, id, leg, since)
                return []
            site.choosing[id] = leg
            return (
                site.route(id, self.random.choice(members), now, local=local) if members else site.unroutable(id, now)
            )

        host.act(me, f"routes {id}", choose)

    def _admit(self, ask: Ask) -> None:
        host = self.hosts[ask.router]
        me, id = host.me, ask.attempt.id.request_id

        def admit(site: Site, now: float) -> list[Message]:
            if isinstance(site, RouterSite):
                site.admit(self._rules.run(ask.attempt, now, ask.deadline_s, MAX_ATTEMPTS), now)
                self.clock.after(ask.deadline_s, host.act, me, "timer", lambda site, now: site.expire(now))
            return []

        def leave(site: Site, now: float) -> list[Message]:
            return site.cancel(id, now) if isinstance(site, RouterSite) else []

        host.act(me, f"admits {id}", admit)
        if ask.leaves_after_s is not None:
            self.clock.after(ask.leaves_after_s, host.act, me, "client leaves", leave)

    def _strike(self, blow: Blow) -> None:
        self.note(" ".join(blow.names), f"{blow.kind} for {blow.lasts_s:.3f} s")
        if blow.kind == "cut":
            self._cut(frozenset(blow.names), blow.lasts_s)
        elif blow.kind == "crash":
            self.crash(blow.names[0], blow.lasts_s)
        else:
            self._freeze(self.hosts[blow.names[0]], blow.lasts_s)

    def crash(self, name: str, lasts_s: float) -> None:
        """The process dies; its peers find out within the heartbeat; another is started."""
        host = self.hosts[name]
        if not host.up:
            return
        self.note(name, "crashes")
        if isinstance(host.site, RouterSite):
            self.lost_routers.add(host.me)
        host.die()
        self.clock.after(self.random.uniform(0, self.timeouts.dead_s), self._lose_everywhere, host.me)
        self.clock.after(lasts_s, self._restart, host)

    def _restart(self, host: Host) -> None:
        host.rise()
        self._join(host.me)

    def _freeze(self, host: Host, lasts_s: float) -> None:
        if not host.up or host.frozen:
            return
        host.frozen = True
        self.frozen_once.add(host.name)
        if lasts_s > self.timeouts.dead_s:
            self.clock.after(self.timeouts.dead_s, self._lose_everywhere, host.me)
        self.clock.after(lasts_s, self._wake, host, host.me, lasts_s > self.timeouts.dead_s)

    def _wake(self, host: Host, me: MemberId, was_lost: bool) -> None:
        if host.me != me or not host.up:
            return
        host.wake()
        if was_lost:
            self._lose_all(host)
            self._join(me)

    def _cut(self, pair: frozenset[str], lasts_s: float) -> None:
        self._cuts[pair] = self._cuts.get(pair, 0) + 1
        if lasts_s > self.timeouts.dead_s:
            self.clock.after(self.timeouts.dead_s, self._part, *sorted(pair))
        self.clock.after(lasts_s, self._heal, pair)

    def _part(self, a: str, b: str) -> None:
        for one, other in ((a, b), (b, a)):
            self._views.get(one, {}).pop(other, None)
            self.hosts[one].lose(self.hosts[other].me)

    def _heal(self, pair: frozenset[str]) -> None:
        self._cuts[pair] -= 1
        if not self._cuts[pair]:
            del self._cuts[pair]
        for name in sorted(pair):
            self._join(self.hosts[name].me)

    def _lose_everywhere(self, lost: MemberId) -> None:
        for name, host in self.hosts.items():
            view = self._views.get(name, {})
            if view.get(lost.name) == lost:
                del view[lost.name]
            if name != lost.name:
                host.lose(lost)

    def _lose_all(self, host: Host) -> None:
        """Its own connections broke while it was frozen."""
        for name, other in self.hosts.items():
            if name != host.name:
                host.lose(other.me)

    def _join(self, member: MemberId) -> None:
        """The member joins every router it can reach; a router is joined by every member."""
        for router, view in self._views.items():
            for other in (*self.plan.prefills, *self.plan.decodes):
                host = self.hosts[other]
                joins = member.name in (router, other) and host.up and self.hosts[router].up
                if joins and self.reachable(router, other):
                    self.clock.after(self.random.uniform(0.05, 1.0), self._see, view, router, host.me)

    def _see(self, view: dict[str, MemberId], router: str, member: MemberId) -> None:
        host = self.hosts[member.name]
        if host.up and host.me == member and self.reachable(router, member.name):
            view[member.name] = member

    def _boot(self, me: MemberId, before: Site | None) -> Site:
        if me.name in self.plan.routers:
            return RouterSite(me)
        if me.name in self.plan.prefills:
            dead = before if isinstance(before, PrefillSite) else None
            return PrefillSite(me, self.truth, self._rules.lender(self.timeouts), self.plan.num_blocks, dead)
        return self._rules.decode(
            me, self.truth, self._rules.lander(self.truth.layout, self.timeouts), self.plan.num_blocks
        )
