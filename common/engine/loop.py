"""The engine thread: plan, run, commit, for as long as there is work.

Owns the thread and the queue into it. Everything the scheduler and the runner hold belongs to this thread alone; what
leaves it is frozen. Idle means blocked on the queue: nothing is polled. Knows nothing of models, blocks or networks.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol, runtime_checkable

from common.engine.messages import Command, EngineLoad, Event, MoreTokens, Reserved, StepTokens
from common.engine.placement import give_way
from common.engine.plan import StepPlan, StepResult
from common.engine.tally import Tally
from common.types.member import StepTotals

OnEvents = Callable[[tuple[Event, ...]], None]

LOAD_S = 0.2
"""How old the load may be while one step of plain tokens follows the other: routers hear of it once a second."""


class Scheduler(Protocol):
    """What a prefill and a decode worker's schedulers have in common."""

    def accept(self, command: Command, now: float) -> tuple[Event, ...]: ...

    def plan(self, now: float) -> StepPlan | None: ...

    def commit(self, plan: StepPlan, result: StepResult, now: float) -> tuple[Event, ...]: ...

    def learn(self, num_tokens: int, seconds: float) -> None: ...

    def load(self) -> EngineLoad: ...


@runtime_checkable
class Announcer(Protocol):
    """A scheduler that has something to say of blocks as soon as they are final."""

    def summed(self, plan: StepPlan, checksums: tuple[int, ...]) -> tuple[Event, ...]: ...


class EngineLoop:
    """One thread between `start` and `stop`.

    `on_events` is called on the engine thread: once after each step with all that came of it, and once before a step
    if there is something that should not wait for it. `on_crash` is called there too, once, with whatever ended the
    thread; the engine is useless from then on. `prepare` runs on the thread before its first step. `settle` is called
    before anybody hears of blocks to write into from outside, and at the end: a device may still be busy with the pool.
    `give_way` is called after each hand-over: who carries the results may wait for this thread's core.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        run: Callable[[StepPlan], StepResult],
        on_events: OnEvents,
        on_crash: Callable[[BaseException], None],
        prepare: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = monotonic,
        settle: Callable[[], None] = lambda: None,
        give_way: Callable[[], None] = give_way,
    ) -> None:
        self._scheduler = scheduler
        self._run = run
        self._on_events = on_events
        self._on_crash = on_crash
        self._prepare = prepare
        self._clock = clock
        self._settle = settle
        self._give_way = give_way
        self._commands: SimpleQueue[Command | None] = SimpleQueue()  # None: stop
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._load = EngineLoad()
        self._load_until = 0.0  # on the engine's clock: then it is to be looked at anew
        self._tally = Tally()

    def start(self) -> None:
        """Returns when the thread is ready for work; raises what `prepare` raised."""
        self._thread.start()
        self._ready.result()

    def post(self, command: Command) -> None:
        """From any thread; taken before the next step is planned."""
        self._commands.put(command)

    def summed(self, plan: StepPlan, checksums: tuple[int, ...]) -> None:
        """On the engine thread, from within the step: its final blocks need not wait for its tokens."""
        if isinstance(self._scheduler, Announcer) and (events := self._scheduler.summed(plan, checksums)):
            self._on_events(events)

    def load(self) -> EngineLoad:
        """From any thread: as it was after the last step, but for plain tokens of the last `LOAD_S`."""
        return self._load

    def totals(self) -> StepTotals:
        """From any thread: all steps until the last one. What only the scheduler counts is in its load."""
        return self._tally.totals()

    def stop(self) -> None:
        """Finishes the step that runs and ends the thread; commands not yet taken are lost. May be called twice."""
        self._commands.put(None)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _live(self) -> None:
        try:
            self._prepare()
        except BaseException as error:  # noqa: BLE001 - raised again where `start` waits
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the owner of the process ends it, loudly
            self._on_crash(error)

    def _work(self) -> None:
        commands = self._take(wait=False)
        while commands is not None:
            events: list[Event] = []
            began = self._clock()
            for command in commands:
                events += self._scheduler.accept(command, began)
            plan = self._scheduler.plan(began)
            if plan is not None:
                events += plan.events
            if events or commands or plan is None:
                self._hand_over(tuple(events), began)
            if plan is not None:
                result = self._run(plan)
                ended = self._clock()
                self._hand_over(self._scheduler.commit(plan, result, ended), ended)
                self._tally.note(plan, result, self._clock() - began)
            commands = self._take(wait=plan is None)
        self._load = self._scheduler.load()
        self._settle()  # whoever stopped the engine takes the pool away next

    def _hand_over(self, events: tuple[Event, ...], now: float) -> None:
        plain = _are_plain(events)
        if not plain or now >= self._load_until:
            self._load, self._load_until = self._scheduler.load(), now + LOAD_S
        if not events:
            return
        if not plain and any(isinstance(event, Reserved) for event in events):
            self._settle()
        self._on_events(events)
        self._give_way()

    def _take(self, wait: bool) -> list[Command] | None:
        """All commands there are, at least one if it may wait; None once one of them was to stop."""
        commands: list[Command] = []
        if not wait and self._commands.empty():
            return commands
        try:
            while True:
                command = self._commands.get(block=wait and not commands)
                if command is None:
                    return None
                commands.append(command)
        except Empty:
            return commands


def _are_plain(events: tuple[Event, ...]) -> bool:
    """Whether a step brought tokens, and everybody goes on."""
    if len(events) != 1 or not isinstance(events[0], StepTokens):
        return len(events) == 1 and isinstance(events[0], MoreTokens)
    for _, token in events[0].rows:  # noqa: SIM110 - most steps come by here, and a generator costs more than its row
        if token.finish is not None:
            return False
    return True
