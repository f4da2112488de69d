"""What an engine has done since it started, and how long its steps took inside kernels and around them. Pure."""

from common.engine.plan import StepPlan, StepResult
from common.types.member import StepTotals


class Tally:
    """Counts up on the engine's thread; any thread may ask."""

    def __init__(self) -> None:
        self._counted = (0, 0.0, 0.0, 0, 0)  # replaced as a whole: nobody sees half a step

    def note(self, plan: StepPlan, result: StepResult, seconds: float) -> None:
        """One step, which took so long from the commands before it to the events after it."""
        kernel_s = min(result.kernel_s, seconds)
        num_steps, kernels_s, others_s, num_prompt, num_output = self._counted
        self._counted = (
            num_steps + 1,
            kernels_s + kernel_s,
            others_s + seconds - kernel_s,
            num_prompt + plan.num_tokens - plan.num_decode,
            num_output + result.num_sampled,
        )

    def totals(self) -> StepTotals:
        num_steps, kernel_s, other_s, num_prompt, num_output = self._counted
        return StepTotals(num_steps, kernel_s, other_s, num_prompt, num_output)
