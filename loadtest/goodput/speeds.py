"""How long a step takes on a machine, from a few measured constants."""

from dataclasses import dataclass

from common.engine.plan import StepPlan


@dataclass(frozen=True, slots=True)
class Speeds:
    """Of one core each and a model of 135 M parameters in bfloat16, unless told otherwise. `share` is what is left of a
    core that the router and the load's own client use too.
    """

    step_ms: float = 7.6
    row_ms: float = 0.43
    token_ms: float = 0.54
    handoff_ms: float = 6.0
    hop_ms: float = 0.7
    share: float = 0.9

    def step_s(self, plan: StepPlan) -> float:
        """Weights are read once, by rows and prompt alike; a long prompt hides that behind its arithmetic."""
        arithmetic_ms = plan.num_decode * self.row_ms + (plan.num_tokens - plan.num_decode) * self.token_ms
        floor_ms = self.step_ms if plan.num_decode else min(self.step_ms, arithmetic_ms)
        return (floor_ms + arithmetic_ms) / self.share / 1000
