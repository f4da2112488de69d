"""The engine thread: order of events, idling without polling, stopping after the step, crashing aloud."""

import threading
from collections.abc import Callable
from itertools import count
from queue import Queue

import pytest

from common.engine.loop import LOAD_S, EngineLoop
from common.engine.messages import Command, Drop, EngineLoad, Event, MoreTokens, Reserved, Started, StepTokens
from common.engine.placement import give_way
from common.engine.plan import StepPlan, StepResult
from common.types.ids import AttemptId
from common.types.sampling import SampledToken

WAIT_S = 30.0  # only ever reached by a test that fails


def drop(name: str) -> Drop:
    return Drop(AttemptId(name, 0))


class Counting:
    """A scheduler that owes one step for each command it has accepted; answers with the number of the step."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.owed: list[AttemptId] = []
        self.num_plans = 0
        self.num_done = 0
        self.threads: set[int] = set()
        self.accepted_by_plan: list[int] = []

    def accept(self, command: Command, now: float) -> tuple[Event, ...]:
        self.threads.add(threading.get_ident())
        if not isinstance(command, Drop):
            raise TypeError
        if command.id.request_id == "bad":
            raise RuntimeError("no such thing")
        self.accepted.append(command.id.request_id)
        self.owed.append(command.id)
        return ()

    def plan(self, now: float) -> StepPlan | None:
        self.num_plans += 1
        self.accepted_by_plan.append(len(self.accepted))
        if not self.owed:
            return None
        return StepPlan((), (), 0, events=(Started(self.owed[0], 0, now),))

    def commit(self, plan: StepPlan, result: StepResult, now: float) -> tuple[Event, ...]:
        self.num_done += 1
        return (StepTokens(((self.owed.pop(0), SampledToken(0, 0, self.num_done)),)),)

    def learn(self, num_tokens: int, seconds: float) -> None:
        """Nothing warms up here."""

    def load(self) -> EngineLoad:
        return EngineLoad(num_waiting=len(self.owed), num_running=self.num_done)


class Rig:
    """A loop around a `Counting`, with what it hands over in queues; steps wait for `gate` when `held`."""

    def __init__(self, prepare: Callable[[], None] = lambda: None, held: bool = False) -> None:
        self.scheduler = Counting()
        self.handed: Queue[tuple[Event, ...]] = Queue()
        self.crashes: Queue[BaseException] = Queue()
        self.running = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.held = held
        self.loop = EngineLoop(self.scheduler, self.run, self.handed.put, self.crashes.put, prepare)

    def run(self, plan: StepPlan) -> StepResult:
        self.running.release()
        if self.held:
            assert self.gate.acquire(timeout=WAIT_S)
        return StepResult((), 0.001)

    def next(self) -> Event:
        [event] = self.handed.get(timeout=WAIT_S)
        return event


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_events_come_before_and_after_the_step_and_in_order(rig: Rig) -> None:
    rig.loop.start()
    for name in "abc":
        rig.loop.post(drop(name))
    for name, number in zip("abc", (1, 2, 3), strict=True):
        started, stepped = rig.next(), rig.next()
        assert isinstance(started, Started)
        assert started.id.request_id == name
        assert stepped == StepTokens(((AttemptId(name, 0), SampledToken(0, 0, number)),))
    rig.loop.stop()
    assert rig.handed.empty()


def test_started_is_told_while_the_step_still_runs() -> None:
    rig = Rig(held=True)
    rig.loop.start()
    rig.loop.post(drop("a"))
    assert isinstance(rig.next(), Started)
    assert rig.running.acquire(timeout=WAIT_S)
    assert rig.handed.empty()
    rig.gate.release()
    assert isinstance(rig.next(), StepTokens)
    rig.loop.stop()


def test_all_pending_commands_are_taken_before_a_step_is_planned() -> None:
    rig = Rig(held=True)
    rig.loop.start()
    rig.loop.post(drop("first"))
    assert rig.running.acquire(timeout=WAIT_S)
    for place in range(50):
        rig.loop.post(drop(str(place)))
    for _ in range(51):
        rig.gate.release()
    for _ in range(2 * 51):
        rig.next()
    rig.loop.stop()
    assert set(rig.scheduler.accepted_by_plan) - {0} == {1, 51}


def test_commands_from_many_threads_all_arrive(rig: Rig) -> None:
    rig.loop.start()

    def post(own: int) -> None:
        for place in range(100):
            rig.loop.post(drop(f"{own}.{place}"))

    threads = [threading.Thread(target=post, args=(own,)) for own in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(2 * 800):
        rig.next()
    rig.loop.stop()
    assert len(set(rig.scheduler.accepted)) == 800
    for own in range(8):
        mine = [name for name in rig.scheduler.accepted if name.startswith(f"{own}.")]
        assert mine == [f"{own}.{i}" for i in range(100)]
    assert len(rig.scheduler.threads) == 1
    assert threading.get_ident() not in rig.scheduler.threads


def test_an_idle_loop_plans_nothing_until_a_command_comes(rig: Rig) -> None:
    rig.loop.start()
    for number in (1, 2, 3):
        rig.loop.post(drop("a"))
        rig.next()
        rig.next()
        # for each command one plan that works and perhaps one that finds nothing; perhaps one at the start
        assert number <= rig.scheduler.num_plans <= 2 * number + 1
    rig.loop.stop()
    assert rig.scheduler.num_plans <= 7


def test_load_is_what_it_was_after_the_last_step() -> None:
    rig = Rig(held=True)
    assert rig.loop.load() == EngineLoad()
    rig.loop.start()
    rig.loop.post(drop("a"))
    assert rig.running.acquire(timeout=WAIT_S)
    assert rig.loop.load() == EngineLoad(num_waiting=1)
    rig.gate.release()
    rig.next()
    rig.next()
    rig.loop.stop()
    assert rig.loop.load() == EngineLoad(num_running=1)


class Generous(Counting):
    """Owes five steps for a command, and counts who asks for its load."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[int] = []

    def accept(self, command: Command, now: float) -> tuple[Event, ...]:
        super().accept(command, now)
        self.owed *= 5
        return ()

    def plan(self, now: float) -> StepPlan | None:
        return StepPlan((), (), 0) if self.owed else None

    def load(self) -> EngineLoad:
        self.loads.append(len(self.owed))
        return super().load()


class Alike(Generous):
    """One whose steps are all like the one before."""

    def commit(self, plan: StepPlan, result: StepResult, now: float) -> tuple[Event, ...]:
        self.num_done += 1
        return (MoreTokens((self.owed.pop(0),), (0,), (0,), self.num_done, [1]),)


@pytest.mark.parametrize(("pace_s", "asked"), [(0.0, [5, 0]), (LOAD_S, [5, 4, 3, 2, 1, 0])])
@pytest.mark.parametrize("alike", [False, True])
def test_plain_tokens_are_news_for_the_load_once_it_is_old(pace_s: float, asked: list[int], alike: bool) -> None:
    times = count(1)
    rig, scheduler = Rig(), Alike() if alike else Generous()
    loop = EngineLoop(scheduler, rig.run, rig.handed.put, rig.crashes.put, clock=lambda: 10 + pace_s * next(times))
    loop.post(drop("a"))
    loop.start()
    assert all(isinstance(rig.next(), MoreTokens if alike else StepTokens) for _ in range(5))
    loop.stop()
    assert [*dict.fromkeys(scheduler.loads)] == asked


def test_whoever_carries_the_results_is_given_way_to_after_each_hand_over(rig: Rig) -> None:
    order: list[str] = []
    done = threading.Semaphore(0)

    def on_events(events: tuple[Event, ...]) -> None:
        order.append(type(events[0]).__name__)

    def give_way() -> None:
        order.append("given way")
        done.release()

    loop = EngineLoop(rig.scheduler, rig.run, on_events, rig.crashes.put, give_way=give_way)
    loop.start()
    loop.post(drop("a"))
    for _ in range(2):
        assert done.acquire(timeout=WAIT_S)
    loop.stop()
    assert order == ["Started", "given way", "StepTokens", "given way"]


def test_stop_finishes_the_step_and_drops_the_rest() -> None:
    rig = Rig(held=True)
    rig.loop.start()
    rig.loop.post(drop("a"))
    assert rig.running.acquire(timeout=WAIT_S)
    stopping = threading.Thread(target=rig.loop.stop)
    stopping.start()
    while rig.loop._commands.empty():  # until it has asked
        give_way()
    rig.loop.post(drop("late"))
    rig.gate.release()
    stopping.join(WAIT_S)
    assert not stopping.is_alive()
    assert rig.scheduler.num_done == 1
    assert [type(rig.next()) for _ in range(2)] == [Started, StepTokens]
    assert rig.crashes.empty()


def test_stop_may_come_twice_from_an_idle_loop_and_from_its_own_thread(rig: Rig) -> None:
    loop = EngineLoop(rig.scheduler, rig.run, lambda events: loop.stop(), rig.crashes.put)
    loop.start()
    loop.post(drop("a"))
    loop.stop()
    loop.stop()
    assert rig.crashes.empty()


@pytest.mark.parametrize("where", ["accept", "run", "on_events"])
def test_whatever_ends_the_thread_is_reported_once(where: str) -> None:
    rig = Rig()
    broken = RuntimeError("broken")

    def run(plan: StepPlan) -> StepResult:
        if where == "run":
            raise broken
        return rig.run(plan)

    def on_events(events: tuple[Event, ...]) -> None:
        if where == "on_events":
            raise broken

    loop = EngineLoop(rig.scheduler, run, on_events, rig.crashes.put)
    loop.start()
    loop.post(drop("bad" if where == "accept" else "a"))
    crash = rig.crashes.get(timeout=WAIT_S)
    assert isinstance(crash, RuntimeError)
    assert where == "accept" or crash is broken
    loop.post(drop("b"))
    loop.stop()
    assert rig.crashes.empty()


def test_prepare_runs_on_the_engine_thread_before_any_step() -> None:
    seen: list[int] = []
    rig = Rig(prepare=lambda: seen.append(threading.get_ident()))
    rig.loop.post(drop("a"))
    rig.loop.start()
    assert len(seen) == 1
    rig.next()
    rig.next()
    rig.loop.stop()
    assert set(seen) == rig.scheduler.threads


def test_what_prepare_raises_reaches_the_starter() -> None:
    def prepare() -> None:
        raise RuntimeError("no room")

    rig = Rig(prepare)
    with pytest.raises(RuntimeError, match="no room"):
        rig.loop.start()
    rig.loop.stop()
    assert rig.crashes.empty()
    assert rig.scheduler.num_plans == 0


def test_a_device_is_waited_for_before_anybody_hears_of_blocks_to_write_into() -> None:
    order: list[str] = []

    class Reserving(Counting):
        def accept(self, command: Command, now: float) -> tuple[Event, ...]:
            super().accept(command, now)
            return (Reserved(self.owed[-1], (1,), 0),)

    done = threading.Semaphore(0)

    def on_events(events: tuple[Event, ...]) -> None:
        order.extend(type(event).__name__ for event in events)
        if any(isinstance(event, StepTokens) for event in events):
            done.release()

    def run(plan: StepPlan) -> StepResult:
        return StepResult((), 0.001)

    crashes: Queue[BaseException] = Queue()
    loop = EngineLoop(Reserving(), run, on_events, crashes.put, settle=lambda: order.append("settled"))
    loop.start()
    loop.post(drop("a"))
    assert done.acquire(timeout=WAIT_S)
    loop.stop()
    assert order == ["settled", "Reserved", "Started", "StepTokens", "settled"]
