"""What an engine counts of its steps, and that its loop counts all of them."""

import numpy as np

from common.engine.messages import Drop
from common.engine.plan import Best, Further, Sampled, StepPlan, StepResult, Work
from common.engine.tally import Tally
from common.types.ids import AttemptId
from tests.engine.test_loop import Rig


def plan(num_prompt_tokens: int, num_decode: int) -> StepPlan:
    rows = tuple(Work(key, (1,), 0, ()) for key in range(num_decode))
    return StepPlan((*rows, Work(99, (1,) * num_prompt_tokens, 0, ())), (), num_decode)


def test_a_step_is_split_into_kernels_and_the_rest() -> None:
    tally = Tally()
    tally.note(plan(10, 2), StepResult((Sampled(1), Sampled(2)), 0.3, kernel_s=0.25), 0.5)
    tally.note(plan(4, 0), StepResult((), 0.2, kernel_s=0.125), 0.25)
    totals = tally.totals()
    assert (totals.num_steps, totals.num_prompt_tokens, totals.num_output_tokens) == (2, 14, 2)
    assert (totals.kernel_s, totals.other_s) == (0.375, 0.375)


def test_a_step_that_only_goes_further_counts_its_rows() -> None:
    tally = Tally()
    further = StepPlan((), (), 3, further=Further(np.array([1, 2, 3])))
    tally.note(further, StepResult((), 0.2, kernel_s=0.1, best=Best(np.array([4, 5, 6]), np.ones(3, np.float32))), 0.2)
    totals = tally.totals()
    assert (totals.num_steps, totals.num_prompt_tokens, totals.num_output_tokens) == (1, 0, 3)


def test_two_clocks_never_make_time_negative() -> None:
    tally = Tally()
    tally.note(plan(1, 0), StepResult((), 0.3, kernel_s=0.3), 0.2)
    assert (tally.totals().kernel_s, tally.totals().other_s) == (0.2, 0.0)


def test_the_loop_counts_every_step() -> None:
    rig = Rig()
    rig.loop.start()
    for name in "abc":
        rig.loop.post(Drop(AttemptId(name, 0)))
        assert rig.next() != rig.next()
    rig.loop.stop()
    assert rig.loop.totals().num_steps == 3
    assert rig.loop.totals().other_s > 0
