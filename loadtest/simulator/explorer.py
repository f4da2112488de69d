"""Breadth-first over every order of events of a small fleet, with the real machines.

A global state is a few numbers: which state each process is in, and which messages were ever sent. The network keeps
every message for ever and delivers any of them at any time: that is loss, delay, reordering and duplication in one.
Since what a process does depends only on its own state and the event, each (process state, event) is run once and
remembered; the search itself only combines numbers.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.decode_site import CopyId, DecodeSite
from loadtest.simulator.events import (
    TROUBLES,
    Crash,
    Deliver,
    Event,
    Site,
    Write,
    apply,
    choices,
    comes_to_rest,
    ended,
    own_events,
)
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.snapshot import clone
from loadtest.simulator.spent import canonical, spent
from loadtest.simulator.words import Message, Violation

ID_BITS = 20
ID_MASK = (1 << ID_BITS) - 1
ROUTER, PREFILL = 0, 1

COUNT_BITS = 4
COUNT_MASK = (1 << COUNT_BITS) - 1

Moves = list[tuple[int, int, int, bool]]
"""Changes of the packed state: bits to flip, to keep, and to set, and whether it counts as trouble."""
Writes = list[tuple[CopyId, MemberId, int]]
"""Copies that can write their next block, and whose block it reads."""


@dataclass(frozen=True, slots=True)
class World:
    """What is explored: the processes (router, prefill worker, decode workers) and what may befall them.

    `trusting` lets a decode worker take its lender for gone at any moment. `deaf_to_epochs` breaks a rule, for tests;
    machines that break rules are explored without `forgetting`. `max_troubles` bounds timers, suspicions, failed copies
    and the like, for worlds that are too large with any number of them.
    """

    boot: tuple[tuple[str, Callable[[MemberId, Site | None], Site]], ...]
    trusting: bool = True
    local: bool = False
    max_crashes: int = 1
    deaf_to_epochs: bool = False
    forgetting: bool = True
    max_troubles: int | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """How far an exploration went."""

    num_states: int
    num_transitions: int
    num_process_states: tuple[int, ...]
    num_messages: int
    complete: bool


class Process:
    """Every state one process was found in."""

    def __init__(self, place: int, name: str) -> None:
        self.name = name
        self.shift = place * ID_BITS
        self.sites: list[Site] = []
        self.ids: dict[object, int] = {}
        self.key_mask = ID_MASK << self.shift
        self.spent: list[int] = []
        self.moves: dict[int, tuple[Moves, Writes]] = {}
        self.steps: dict[tuple[int, Event], tuple[int, int]] = {}


class Explorer:
    """One exploration. `run` raises `Violation` with the shortest sequence of events that leads to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._processes = [Process(place, name) for place, (name, _) in enumerate(world.boot)]
        self._messages: dict[Message, int] = {}
        self._count_shift = len(world.boot) * ID_BITS
        self._mask_shift = self._count_shift + COUNT_BITS
        self._routes: dict[tuple[int, ...], list[Event]] = {}
        self._states: list[int] = []
        self._parents = array("L")

    def run(self, max_states: int) -> Findings:
        """Visits states in order of distance until there are no more, or too many."""
        states, parents = self._states, self._parents
        root = self._root()
        seen = {root}
        states.append(root)
        parents.append(0)
        num_transitions = 0
        index = 0
        while index < len(states) and len(states) < max_states:
            state = states[index]
            try:
                for successor in self._successors(state):
                    if successor != state:
                        num_transitions += 1
                        if successor not in seen:
                            seen.add(successor)
                            states.append(successor)
                            parents.append(index)
            except Violation as violation:
                raise self._told(index, violation) from violation
            index += 1
        return self._findings(len(states), num_transitions, complete=index == len(states))

    def sites(self, name: str) -> list[Site]:
        """Every state a process was found in."""
        return next(process.sites for process in self._processes if process.name == name)

    def _root(self) -> int:
        root = 0
        for place, (name, boot) in enumerate(self._world.boot):
            root |= self._intern(place, boot(MemberId(name, 1), None)) << self._processes[place].shift
        return root

    def _findings(self, num_states: int, num_transitions: int, *, complete: bool) -> Findings:
        self._check_spent()
        num_process_states = tuple(len(process.sites) for process in self._processes)
        return Findings(num_states, num_transitions, num_process_states, len(self._messages), complete)

    def _told(self, index: int, violation: Violation) -> Violation:
        """The violation with the events that led to it."""
        return Violation("\n".join([*self._trace(index), f"=> {violation}"]))

    def _successors(self, state: int) -> Iterator[int]:
        for process in self._processes:
            key = state & process.key_mask
            found = process.moves.get(key)
            if found is None:
                found = process.moves[key] = self._moves(process, key)
            moves, writes = found
            for flip, keep, send, trouble in moves:
                successor = (state ^ flip) & keep
                if trouble:
                    if (state >> self._count_shift) & COUNT_MASK == self._world.max_troubles:
                        continue
                    successor += 1 << self._count_shift
                yield self._sent(successor, send) if send else successor
            for copy_id, source, block in writes:
                prefill = self._site(PREFILL, state)
                content = prefill.read(source, block) if isinstance(prefill, PrefillSite) else None
                yield self._after(state, process, Write(copy_id, content))
        for route in self._possible_routes(state):
            yield self._after(state, self._processes[ROUTER], route)
        if sum(self._epochs(state)) - len(self._processes) < self._world.max_crashes:
            for place in range(len(self._processes)):
                yield self._crashed(state, place)

    def _moves(self, process: Process, key: int) -> tuple[Moves, Writes]:
        """All that can happen at a process in this state, given the messages sent to it so far."""
        number = (key >> process.shift) & ID_MASK
        site = process.sites[number]
        moves = []
        for event in [*own_events(site, trusting=self._world.trusting), *self._deliverable(site, key)]:
            successor, sent = self._step(process, number, event)
            if successor != number or sent:
                flip = (number ^ successor) << process.shift
                moves.append((flip, ~process.spent[successor], sent, self._counts(event)))
        writes = []
        if isinstance(site, DecodeSite):
            for copy_id in site.copies:
                source = site.sequences[copy_id[0]].source
                if source is not None:
                    writes.append((copy_id, source, site.next_pair(copy_id).source.block))
        return moves, writes

    def _counts(self, event: Event) -> bool:
        return self._world.max_troubles is not None and isinstance(event, TROUBLES)

    def _deliverable(self, site: Site, key: int) -> list[Event]:
        sent = key >> self._mask_shift
        return [
            Deliver(message)
            for message, bit in self._messages.items()
            if sent >> bit & 1 and (message.target == site.me or self._world.deaf_to_epochs)
        ]

    def _after(self, state: int, process: Process, event: Event) -> int:
        number = (state >> process.shift) & ID_MASK
        successor, sent = self._step(process, number, event)
        state += self._counts(event) << self._count_shift
        return self._sent((state ^ ((number ^ successor) << process.shift)) & ~process.spent[successor], sent)

    def _sent(self, state: int, sent: int) -> int:
        """The state with these messages under way, but for those that can change nothing any more."""
        for process in self._processes:
            sent &= ~process.spent[(state >> process.shift) & ID_MASK]
        return state | sent

    def _step(self, process: Process, number: int, event: Event) -> tuple[int, int]:
        """Lets the real machines take one event, once."""
        done = process.steps.get((number, event))
        if done is None:
            before = process.sites[number]
            site = clone(before)
            try:
                sent = apply(site, event)
                site.check()
                if not ended(before) <= ended(site):
                    raise Violation("what had ended lives again")
                successor = self._intern(process.shift // ID_BITS, site)
            except (Violation, RuntimeError, ValueError, KeyError) as error:
                raise Violation(f"{process.name}: {event}\n   {error!r}") from error
            bits = 0
            for message in sent:
                bits |= 1 << (self._mask_shift + self._bit(message))
            done = process.steps[number, event] = (successor, bits)
        return done

    def _intern(self, place: int, site: Site) -> int:
        process = self._processes[place]
        key = canonical(site)
        number = process.ids.get(key)
        if number is None:
            if not comes_to_rest(clone(site)):
                raise Violation("with timers alone, something is never given back or never ends")
            number = process.ids[key] = len(process.sites)
            process.sites.append(site)
            process.spent.append(0)
            for message, bit in list(self._messages.items()):
                self._forget(process, number, message, bit)
        return number

    def _bit(self, message: Message) -> int:
        bit = self._messages.get(message)
        if bit is None:
            bit = self._messages[message] = len(self._messages)
            for process in self._processes:
                if process.name == message.target.name:
                    process.key_mask |= 1 << (self._mask_shift + bit)
                for number in range(len(process.sites)):
                    self._forget(process, number, message, bit)
        return bit

    def _forget(self, process: Process, number: int, message: Message, bit: int) -> None:
        """Marks a message that can change nothing in this state or later, and checks that it changes nothing now."""
        site = process.sites[number]
        if not self._world.forgetting or message.target.name != process.name:
            return
        stranger = message.target != site.me
        if stranger or spent(site, message.body):
            process.spent[number] |= 1 << (self._mask_shift + bit)
            if not stranger and self._step(process, number, Deliver(message)) != (number, 0):
                raise TypeError(f"{message} was taken for spent at {process.name}")

    def _check_spent(self) -> None:
        """What was spent stays spent."""
        for process in self._processes:
            for (number, event), (successor, _) in process.steps.items():
                if process.spent[number] & ~process.spent[successor]:
                    raise TypeError(f"{event} at {process.name} revived a message")

    def _site(self, place: int, state: int) -> Site:
        process = self._processes[place]
        return process.sites[(state >> process.shift) & ID_MASK]

    def _epochs(self, state: int) -> list[int]:
        return [self._site(place, state).me.epoch for place in range(len(self._processes))]

    def _possible_routes(self, state: int) -> list[Event]:
        router = self._site(ROUTER, state)
        if not isinstance(router, RouterSite) or not router.choosing:
            return []
        members = tuple(self._site(place, state).me for place in range(PREFILL, len(self._processes)))
        return list(choices(router, members[:1], members[1:], self._world.local))

    def _crashed(self, state: int, place: int) -> int:
        process = self._processes[place]
        site = self._site(place, state)
        reborn = self._world.boot[place][1](MemberId(process.name, site.me.epoch + 1), site)
        number = self._intern(place, reborn)
        return (state & ~(ID_MASK << process.shift | process.spent[number])) | number << process.shift

    def _trace(self, index: int) -> list[str]:
        """The events that led to a state, shortest way."""
        path = [index]
        while path[-1]:
            path.append(self._parents[path[-1]])
        path.reverse()
        return [self._name(self._states[a], self._states[b]) for a, b in pairwise(path)]

    def _name(self, state: int, successor: int) -> str:
        for process in self._processes:
            number, after = (state >> process.shift) & ID_MASK, (successor >> process.shift) & ID_MASK
            for (before, event), (result, _) in list(process.steps.items()):
                if (before, result) == (number, after) and self._after(state, process, event) == successor:
                    return f"{process.name}: {event}"
        return str(next(Crash(p.name) for p in self._processes if (state ^ successor) >> p.shift & ID_MASK))
