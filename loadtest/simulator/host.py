"""A simulated process around a site: its timers, its engine's pace, its copies, its crashes and its pauses."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from common.types.ids import AttemptId
from common.types.timeouts import Timeouts
from kvtransfer.handoff.arrival import LandingState
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.clock import Clock
from loadtest.simulator.decode_site import CopyId, DecodeSite
from loadtest.simulator.events import Site
from loadtest.simulator.plan import Plan
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.words import Attach, Content, Landed, Message, Renew

Call = Callable[[Site, float], list[Message]]
CHECK_EVERY = 32
HUNG = 0.25
AGAIN = "asks again"


class Surroundings(Protocol):
    """What a process finds around it."""

    clock: Clock
    random: Random
    plan: Plan
    timeouts: Timeouts

    def send(self, message: Message) -> None: ...
    def note(self, name: str, what: object) -> None: ...
    def read(self, reader: MemberId, source: MemberId, block: int) -> Content: ...
    def reachable(self, a: str, b: str) -> bool: ...
    def route(self, host: "Host", id: AttemptId) -> None: ...
    def crash(self, name: str, lasts_s: float) -> None: ...


class Host:
    """One place in the fleet, where one process after another may live."""

    def __init__(self, name: str, world: Surroundings, boot: Callable[[MemberId, Site | None], Site]) -> None:
        self.name = name
        self._world = world
        self._boot = boot
        self.site = boot(MemberId(name, 1), None)
        self.past: list[Site] = []
        self.up = True
        self.frozen = False
        self.num_acts = 0
        self._backlog: list[tuple[str, Call]] = []
        self._alarm: float | None = None
        self._busy = False
        self._copying: set[CopyId] = set()
        self._fencing: set[AttemptId] = set()

    @property
    def me(self) -> MemberId:
        return self.site.me

    def act(self, me: MemberId, what: str, call: Call) -> None:
        """Lets this very process do something now, or when it wakes up."""
        if not self.up or me != self.site.me:
            return
        if self.frozen:
            self._backlog.append((what, call))
            return
        self._world.note(self.name, what)
        for message in call(self.site, self._world.clock.now):
            self._world.send(message)
            if isinstance(message.body, Landed) and what != AGAIN:
                self._world.clock.after(self._world.timeouts.landed_s, self._await_verdict, me, message, 1)
        self.num_acts += 1
        if self.num_acts % CHECK_EVERY == 0:
            self.site.check()
        self._follow_up()

    def receive(self, message: Message) -> None:
        self.act(message.target, "hears", lambda site, now: site.receive(message, now))
        if isinstance(message.body, Attach) and message.body.source is not None:
            self._world.clock.after(self._world.timeouts.renew_s, self._renew, self.me, message.body.attempt.id)

    def die(self) -> None:
        self.up = False
        self.frozen = False
        self._backlog.clear()

    def rise(self) -> None:
        self.past.append(self.site)
        self.site = self._boot(MemberId(self.name, self.me.epoch + 1), self.site)
        self.up = True
        self._alarm = None
        self._busy = False
        self._copying.clear()
        self._fencing.clear()

    def wake(self) -> None:
        """Does at once whatever came while it was frozen."""
        self.frozen = False
        backlog, self._backlog = self._backlog, []
        for what, call in backlog:
            self.act(self.me, what, call)

    def lose(self, peer: MemberId) -> None:
        """Finds out that a peer cannot be reached."""

        def lost(site: Site, now: float) -> list[Message]:
            if isinstance(site, RouterSite):
                return site.lose(peer, now)
            if isinstance(site, PrefillSite):
                return site.lose(peer)
            fetched = [id for id, sequence in site.sequences.items() if sequence.source == peer]
            return [m for id in fetched for m in site.source_lost(id, now)] + site.lose(peer, now)

        self.act(self.me, f"loses {peer.name}", lost)

    def _renew(self, me: MemberId, id: AttemptId) -> None:
        """Every second, as long as a loan is needed."""

        def ask(site: Site, now: float) -> list[Message]:
            if not isinstance(site, DecodeSite) or not site.lander.fetching(id):
                return []
            source = site.sequences[id].source
            if source is None:
                return []
            self._world.clock.after(self._world.timeouts.renew_s, self._renew, me, id)
            return [Message(site.me, source, Renew(id))]

        self.act(me, f"renews {id}", ask)

    def _await_verdict(self, me: MemberId, message: Message, num_tries: int) -> None:
        """Repeats `Landed` while it is unanswered, and gives up at last."""

        def ask(site: Site, now: float) -> list[Message]:
            id = message.body.id if isinstance(message.body, Landed) else None
            if id is None or not isinstance(site, DecodeSite) or site.lander.state(id) is not LandingState.VERIFIED:
                return []
            if num_tries == self._world.timeouts.landed_tries:
                return site.answered(id, None, now)
            self._world.clock.after(self._world.timeouts.landed_s, self._await_verdict, me, message, num_tries + 1)
            return [message]

        self.act(me, AGAIN, ask)

    def _follow_up(self) -> None:
        site = self.site
        if isinstance(site, RouterSite):
            for id in list(site.choosing):
                self._world.route(self, id)
            return
        self._arm(site.lender.next_expiry() if isinstance(site, PrefillSite) else site.lander.next_expiry())
        if not self._busy and (site.computable() if isinstance(site, PrefillSite) else site.running()):
            self._busy = True
            self._world.clock.after(self._world.random.uniform(0.005, 0.05), self._step, site.me)
        if isinstance(site, DecodeSite):
            self._look_after_copies(site)

    def _look_after_copies(self, site: DecodeSite) -> None:
        for copy_id in [copy_id for copy_id in site.copies if copy_id not in self._copying]:
            self._copying.add(copy_id)
            self._schedule_write(copy_id)
        for id in [id for id, sequence in site.sequences.items() if sequence.fence_asked and id not in self._fencing]:
            self._fencing.add(id)
            self._world.clock.after(self._world.random.choice((0.01, 1.0, 60.0)), self._fence, site.me, id)
        if site.overdue:
            self._world.crash(self.name, 1.0)

    def _fence(self, me: MemberId, id: AttemptId) -> None:
        def fence(site: Site, now: float) -> list[Message]:
            return site.fenced(id, now) if isinstance(site, DecodeSite) else []

        self.act(me, "fences", fence)

    def _arm(self, expiry: float | None) -> None:
        if expiry is not None and (self._alarm is None or expiry < self._alarm):
            self._alarm = expiry
            self._world.clock.at(expiry, self._ring, self.me, expiry)

    def _ring(self, me: MemberId, expiry: float) -> None:
        if me == self.me and expiry == self._alarm:
            self._alarm = None
            self.act(me, "timer", lambda site, now: site.expire(now))

    def _step(self, me: MemberId) -> None:
        def step(site: Site, now: float) -> list[Message]:
            self._busy = False
            if isinstance(site, PrefillSite):
                ids = site.computable()
                return site.compute(self._world.random.choice(ids), now) if ids else []
            if not isinstance(site, DecodeSite):
                return []
            return [m for id in site.running() if id in site.sequences for m in site.step(id, now)]

        self.act(me, "steps", step)

    def _schedule_write(self, copy_id: CopyId) -> None:
        random, delay_s = self._world.random, self._world.random.uniform(0.0002, 0.004)
        if random.random() < self._world.plan.slow_copy:
            if random.random() < HUNG:
                return  # for ever: only a fence ends it
            delay_s = random.uniform(1, 40)
        self._world.clock.after(delay_s, self._write, self.me, copy_id)

    def _write(self, me: MemberId, copy_id: CopyId) -> None:
        def write(site: Site, now: float) -> list[Message]:
            if not isinstance(site, DecodeSite) or copy_id not in site.copies:
                return []
            source = site.sequences[copy_id[0]].source
            random, plan = self._world.random, self._world.plan
            if (
                source is None
                or random.random() < plan.broken_copy
                or not self._world.reachable(self.name, source.name)
            ):
                return site.break_copy(copy_id, now)
            content = self._world.read(me, source, site.next_pair(copy_id).source.block)
            if random.random() < plan.flip:
                content = ("flipped", content)
            sent = site.write(copy_id, content, now)
            if copy_id in site.copies:
                self._schedule_write(copy_id)
            return sent

        self.act(me, "copies", write)
