"""What an engine has done since it started, and how long its steps took inside kernels and around them. Pure."""

from common.engine.plan import StepPlan, StepResult
from common.types.member import StepTotals


class Tally:
    """Counts up; the engine thread owns it and hands out frozen copies."""

    def __init__(self) -> None:
        self._num_steps = self._num_prompt_tokens = self._num_output_tokens = 0
        self._kernel_s = self._other_s = 0.0

    def note(self, plan: StepPlan, result: StepResult, seconds: float) -> None:
        """One step, which took so long from the commands before it to the events after it."""
        kernel_s = min(result.kernel_s, seconds)
        self._num_steps += 1
        self._num_prompt_tokens += plan.num_tokens - plan.num_decode
        self._num_output_tokens += len(result.sampled)
        self._kernel_s += kernel_s
        self._other_s += seconds - kernel_s

    def totals(self) -> StepTotals:
        return StepTotals(
            num_steps=self._num_steps,
            kernel_s=self._kernel_s,
            other_s=self._other_s,
            num_prompt_tokens=self._num_prompt_tokens,
            num_output_tokens=self._num_output_tokens,
        )
