"""A router, its workers and Poisson arrivals on virtual time.

The fleet's view, the routing policy and both schedulers are the production ones; processes, messages and the copy of KV
are so many milliseconds each. Nothing fails here: that is the other simulator's business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from common.engine.limits import Limits
from common.engine.loop import Scheduler
from common.engine.messages import Drop, Event, FirstTokens, Join, Joined, Reserve, Sealed, Started, Submit, SubmitLocal
from common.engine.messages import StepTokens as Tokens
from common.engine.report import SideState, make_report
from common.engine.tables import BlockTables
from common.types.attempt import Attempt, Choice
from common.types.errors import PeerLost
from common.types.ids import PROTOCOL_MAJOR, AttemptId, Role
from common.types.kv import Manifest
from common.types.member import FetchTotals, Hello, StepTotals
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler
from loadtest.goodput.outcome import Served
from loadtest.goodput.site import Site
from loadtest.goodput.speeds import Speeds
from loadtest.simulator.clock import Clock
from prefill_worker.scheduler import PrefillScheduler
from router.fleet import FleetView
from router.fleet import Served as Model
from router.membership import Placement
from router.policy.decode import choose_decode
from router.policy.route import Mode, Route
from router.policy.snapshot import Need, Snapshot

BLOCK_TOKENS, NUM_BLOCKS, BLOCK_BYTES = 16, 8192, 16 * 23_040
LAYOUT = "simulated"
REPORT_S = 1.0
WARM_UP_TOKENS = 512
MAX_EVENTS = 50_000_000
REQUEST, STREAM, STREAM_PROMPT = "r", "s", 64
Decide = Callable[[Snapshot, Need], Route | None]


@dataclass(frozen=True, slots=True)
class Load:
    """Poisson arrivals; the lengths of a request are drawn anew from the tuples, in equal parts.

    Streams are answers that run from the beginning and are no part of the goodput: what others do to them is told.
    """

    rate: float
    duration_s: float = 120.0
    prompt_tokens: tuple[int, ...] = (512,)
    output_tokens: tuple[int, ...] = (64,)
    seed: int = 1
    num_streams: int = 0
    stream_tokens: int = 4000


@dataclass(slots=True)
class Life:
    """A request inside the world."""

    served: Served
    attempt: Attempt
    placements: dict[Role, Placement] = field(default_factory=dict)


class World:
    """One decode worker and so many prefill workers. Runs once."""

    def __init__(
        self, decide: Decide, *, speeds: Speeds = Speeds(), tpot_goal_s: float = 0.06, num_prefill: int = 1
    ) -> None:
        self.clock = Clock()
        self._decide, self._speeds = decide, speeds
        self._view = FleetView(Model("model", "", b"k"))
        self._sites: dict[str, Site] = {}
        self._lives: dict[AttemptId, Life] = {}
        limits = Limits(512, 64, 8192, tpot_goal_s=tpot_goal_s)
        for role, number in [(Role.PREFILL, place) for place in range(num_prefill)] + [(Role.DECODE, 0)]:
            name, tables = f"{role.value}-{number}", BlockTables.create(NUM_BLOCKS, BLOCK_TOKENS, b"k" * 32, "")
            made: Scheduler = (
                PrefillScheduler(limits, tables, LAYOUT) if role is Role.PREFILL else DecodeScheduler(limits, tables)
            )
            made.learn(WARM_UP_TOKENS, WARM_UP_TOKENS * speeds.token_ms / speeds.share / 1000)
            self._sites[name] = Site(self.clock, made, speeds, partial(self._hear, role, name))
            self._view.join(_hello(name, role), 0.0)

    def run(self, load: Load) -> list[Served]:
        """Every request of the load, to its last token."""
        random, now = Random(load.seed), 0.0
        for number in range(load.num_streams):
            self.clock.at(0.0, self._arrive, _attempt(STREAM, number, STREAM_PROMPT, load.stream_tokens))
        number = 0
        while (now := now + random.expovariate(load.rate)) < load.duration_s:
            num_tokens, num_output = random.choice(load.prompt_tokens), random.choice(load.output_tokens)
            self.clock.at(now, self._arrive, _attempt(REQUEST, number, num_tokens, num_output))
            number += 1
        for beat in range(int(load.duration_s / REPORT_S) + 1):
            self.clock.at(0.3 + beat * REPORT_S, self._report)
        self.clock.run(MAX_EVENTS)
        return [life.served for id, life in self._lives.items() if not id.request_id.startswith(STREAM)]

    @property
    def streams(self) -> list[Served]:
        """The load's streams, each with its pauses."""
        return [life.served for id, life in self._lives.items() if id.request_id.startswith(STREAM)]

    @property
    def longest_step_s(self) -> float:
        """Of those steps that somebody's next token waited for."""
        return max(site.longest_s for name, site in self._sites.items() if name.startswith(Role.DECODE.value))

    def _report(self) -> None:
        side = SideState(2e9, FetchTotals(), draining=False, idle=False)
        for membership in self._view.members():
            load = self._sites[membership.hello.member].scheduler.load()
            self._view.report(membership, make_report(load, StepTotals(), side, self.clock.now), self.clock.now)

    def _arrive(self, attempt: Attempt) -> None:
        need, now = Need.of(attempt), self.clock.now
        route = self._decide(self._view.snapshot(now=now), need)
        if route is None:
            raise RuntimeError("nobody takes the request")
        life = self._lives[attempt.id] = Life(Served(now, route.reason), attempt)
        role = route.member.hello.role
        life.placements[role] = self._view.place(route.member, need, now, _lost, computes=True)
        self._post(route.member.name, Submit(attempt, True) if route.mode is Mode.HANDOFF else SubmitLocal(attempt))

    def _post(self, name: str, command: Submit | SubmitLocal | Reserve | Join | Drop) -> None:
        self.clock.after(self._speeds.hop_ms / 1000, self._sites[name].post, command)

    def _hear(self, role: Role, name: str, events: tuple[Event, ...]) -> None:
        for event in events:
            self.clock.after(self._speeds.hop_ms / 1000, self._take, role, name, event)

    def _take(self, role: Role, name: str, event: Event) -> None:
        match event:
            case Started(id) if role is Role.PREFILL:
                self._attach(self._lives[id])
            case FirstTokens(id):
                self._first(self._lives[id], Role.PREFILL)
            case Sealed(manifest):
                self.clock.after(self._speeds.handoff_ms / 1000, self._land, manifest)
            case Joined(id):
                self._close(self._lives[id], Role.PREFILL)
            case Tokens(rows):
                for id, token in rows:
                    life = self._lives[id]
                    self._first(life, Role.DECODE)
                    life.served.token(self.clock.now, token.index)
                    if token.finish is not None:
                        self._close(life, Role.DECODE)

    def _attach(self, life: Life) -> None:
        need, now = Need.of(life.attempt), self.clock.now
        best, _ = choose_decode(self._view.snapshot(now=now), need, LAYOUT)
        if best is None:
            raise RuntimeError("nobody fetches for the request")
        life.placements[Role.DECODE] = self._view.place(best.member, need, now, _lost, computes=False)
        life.served.decode = best.member.name
        self._post(best.member.name, Reserve(life.attempt))

    def _land(self, manifest: Manifest) -> None:
        life = self._lives[manifest.attempt]
        self._post(life.served.decode, Join(manifest.attempt, manifest.first_tokens))

    def _first(self, life: Life, leg: Role) -> None:
        life.placements[leg].computed(self.clock.now)
        if not life.served.first:
            life.served.token(self.clock.now, 0)

    def _close(self, life: Life, leg: Role) -> None:
        life.placements.pop(leg).close()
        if leg is Role.PREFILL:
            for name in self._sites:
                if name.startswith(leg.value):
                    self._post(name, Drop(life.attempt.id))


def _attempt(kind: str, number: int, num_tokens: int, num_output: int) -> Attempt:
    """No prompt begins like another."""
    tokens = (number, ord(kind), *range(2, num_tokens))
    sampling = Sampling(temperature=0.0, max_tokens=num_output)
    return Attempt(AttemptId(f"{kind}{number}", 1), tokens, num_tokens, (Choice(0),), sampling)


def _hello(name: str, role: Role) -> Hello:
    return Hello(
        member=name, role=role, address="", epoch=1, model="model", model_fingerprint="", layout=LAYOUT,
        protocol=PROTOCOL_MAJOR, block_tokens=BLOCK_TOKENS, block_bytes=BLOCK_BYTES, num_blocks=NUM_BLOCKS,
        max_sequences=64, max_model_tokens=8192, transports=("shm",), cache_key_id="",
    )  # fmt: skip


def _lost(error: PeerLost) -> None:
    raise RuntimeError("nothing is lost here")
