"""Final blocks are told of while their step still runs, and never before their bytes are final."""

from queue import Queue

from common.cache.checksum import block_checksum
from common.engine.loop import EngineLoop
from common.engine.messages import BlocksReady, Event, Started, StepTokens, Submit
from common.engine.plan import StepPlan, StepResult
from common.engine.runner import Runner
from common.types.ids import AttemptId
from common.types.kv import BlockRef
from prefill_worker.scheduler import PrefillScheduler
from tests.engine.attempts import attempt
from tests.engine.legs import Leg, decoder
from tests.engine.test_loop import WAIT_S, Counting, Rig, drop


class Announcing(Counting):
    """Says of the first command's attempt that one block is final."""

    def summed(self, plan: StepPlan, checksums: tuple[int, ...]) -> tuple[Event, ...]:
        return tuple(BlocksReady(self.owed[0], 0, (BlockRef(5, 1, checksum),)) for checksum in checksums)


def test_final_blocks_are_told_of_while_the_step_still_runs() -> None:
    handed: list[tuple[Event, ...]] = []
    done: Queue[BaseException | None] = Queue()
    told: list[tuple[Event, ...]] = []

    def run(plan: StepPlan) -> StepResult:
        loop.summed(plan, ())
        loop.summed(plan, (77,))
        told.extend(handed)
        return StepResult((), 0.001)

    def on_events(events: tuple[Event, ...]) -> None:
        handed.append(events)
        if isinstance(events[0], StepTokens):
            done.put(None)

    loop = EngineLoop(Announcing(), run, on_events, done.put)
    loop.start()
    loop.post(drop("a"))
    assert done.get(timeout=WAIT_S) is None
    loop.stop()
    [[started], ready] = told
    assert isinstance(started, Started)
    assert ready == (BlocksReady(AttemptId("a", 0), 0, (BlockRef(5, 1, 77),)),)


def test_a_scheduler_with_nothing_to_say_of_blocks_is_not_asked() -> None:
    rig = Rig()
    rig.loop.summed(StepPlan((), (), 0), (1,))
    assert rig.handed.empty()


def test_what_is_told_early_are_the_checksums_of_the_finished_blocks() -> None:
    leg = Leg("llama", True, 16, 4, 64, 4)
    told: list[tuple[StepPlan, tuple[int, ...], list[bytes]]] = []

    def on_sums(plan: StepPlan, checksums: tuple[int, ...]) -> None:
        told.append((plan, checksums, [leg.bytes[block].tobytes() for block in plan.final_blocks]))

    assert isinstance(leg.scheduler, PrefillScheduler)
    runner = Runner(decoder("llama"), leg.storage, on_sums=on_sums)
    leg.accept(Submit(attempt("a", range(2, 13)), lend=True))
    plan = leg.scheduler.plan(1.0)
    assert plan is not None
    result = runner.run(plan)
    [(of, checksums, contents)] = told
    assert of is plan
    assert checksums == result.checksums
    assert checksums == tuple(block_checksum(leg.bytes[block]) for block in plan.final_blocks)
    assert contents == [leg.bytes[block].tobytes() for block in plan.final_blocks], "sampling changed no block"
    assert len(checksums) == 3


def test_a_step_without_final_blocks_tells_nothing() -> None:
    told: list[StepPlan] = []
    leg = Leg("llama", True, 16, 4, 64, 4)
    runner = Runner(decoder("llama"), leg.storage, on_sums=lambda plan, checksums: told.append(plan))
    leg.accept(Submit(attempt("a", range(2, 13)), lend=False))
    plan = leg.scheduler.plan(1.0)
    assert plan is not None
    runner.run(plan)
    assert not told
