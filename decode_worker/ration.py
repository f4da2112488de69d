"""How many prompt tokens may ride in a step beside decode rows, from what steps took. Pure: knows no sequences.

A step is taken to cost what steps of decode rows alone cost, and so much for each prompt token beside them.
"""

from common.engine.limits import Limits

_KEEP = 0.9  # share of the past that survives one step
_SHARE = 0.85  # of the goal, what a step may take: a token's way to the client takes its part
_LEAST_TOKENS = 16  # a shorter chunk says nothing of speed, and would hardly bring its prompt on
_WARM_UP_SHARE = 0.25  # of a step, what the warm-up's chunk counts: it may have been disturbed, or cold
_SURPRISE = 8  # a step counts as at most so many expected ones: the process may have been stopped in the middle of it
_LEAST_SHARE = 0.1  # of a mixed step, what its chunk is taken to cost however slow rows alone were


class Ration:
    """Rows share their steps with chunks that fit the goal for a token.

    Where steps miss it by themselves, a chunk may double them: there is nothing to keep, and prompts must come on.
    """

    def __init__(self, limits: Limits) -> None:
        self._budget = limits.token_budget
        self._goal_s = limits.tpot_goal_s
        self._step_s = 0.0
        self._tokens = self._seconds = 0.0

    @property
    def step_ms(self) -> float:
        """Moving average of steps that computed no prompt."""
        return self._step_s * 1000

    def learn(self, num_tokens: int, seconds: float) -> None:
        """What the warm-up's chunk took."""
        self._tokens, self._seconds = _WARM_UP_SHARE * num_tokens, _WARM_UP_SHARE * seconds

    def note(self, num_rows: int, num_tokens: int, seconds: float) -> None:
        """One step with so many decode rows and prompt tokens."""
        if not num_tokens:
            if self._step_s:
                seconds = min(seconds, _SURPRISE * self._step_s)
            self._step_s = self._step_s * _KEEP + seconds * (1 - _KEEP) if self._step_s else seconds
        elif num_tokens >= _LEAST_TOKENS:
            own_s = max(seconds - self._step_s, _LEAST_SHARE * seconds) if num_rows else seconds
            if self._tokens:
                own_s = min(own_s, _SURPRISE * num_tokens * self._token_s)
            self._tokens = self._tokens * _KEEP + num_tokens
            self._seconds = self._seconds * _KEEP + own_s

    def tokens(self, num_rows: int) -> int:
        """The most prompt tokens of a step with so many decode rows; all of the budget where nobody waits for it."""
        if not num_rows or not self._tokens:
            return self._budget
        room_s = _SHARE * self._goal_s - self._step_s if self._step_s < self._goal_s else self._step_s
        return max(_LEAST_TOKENS, int(min(room_s / self._token_s, self._budget)))

    def tokens_per_s(self, num_rows: int) -> float:
        """How fast prompts go beside so many rows; 0 before anything is known."""
        if not self._tokens:
            return 0.0
        num_tokens = self.tokens(num_rows)
        return num_tokens / (num_tokens * self._token_s + (self._step_s if num_rows else 0.0))

    @property
    def _token_s(self) -> float:
        return self._seconds / self._tokens
