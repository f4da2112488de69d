"""How fast an engine goes, from what its steps report. Knows no clock."""

from math import inf

_KEEP = 0.9  # share of the past that survives one step: about the last ten steps count
_TELLING_SHARE = 8  # a chunk says something of speed from one in so many tokens of the warm-up's on
_WARM_UP_SHARE = 0.25  # of a step, what the warm-up's chunk counts: it may have been disturbed, or cold
_SURPRISE = 8  # a step counts as at most so many expected ones: the process may have been stopped in the middle of it


class Pace:
    """Moving averages over steps."""

    def __init__(self) -> None:
        self.step_ms = 0.0
        self._prompt_tokens = 0.0
        self._prompt_seconds = 0.0
        self._telling_tokens = 1.0

    def learn(self, num_tokens: int, seconds: float) -> None:
        """What the warm-up's long chunk took: the first word on speed, and the measure of what is a long chunk.

        Without it one short prompt, most of whose time is not per token, would make this worker look so slow that it
        is given none that could correct it.
        """
        self._prompt_tokens, self._prompt_seconds = _WARM_UP_SHARE * num_tokens, _WARM_UP_SHARE * seconds
        self._telling_tokens = num_tokens / _TELLING_SHARE

    def note(self, num_prompt_tokens: int, seconds: float) -> None:
        """One step took `seconds` and computed, beside decode rows, this many prompt tokens."""
        seconds = min(seconds, _SURPRISE * self._expected_s(num_prompt_tokens))
        step_ms = seconds * 1000
        self.step_ms = self.step_ms * _KEEP + step_ms * (1 - _KEEP) if self.step_ms else step_ms
        if num_prompt_tokens >= self._telling_tokens:
            self._prompt_tokens = self._prompt_tokens * _KEEP + num_prompt_tokens
            self._prompt_seconds = self._prompt_seconds * _KEEP + seconds

    @property
    def prefill_tokens_per_s(self) -> float:
        """Tokens over seconds, so that many short prompts do not drown a long one; 0 before the first step."""
        return self._prompt_tokens / self._prompt_seconds if self._prompt_seconds else 0.0

    def _expected_s(self, num_prompt_tokens: int) -> float:
        speed = self.prefill_tokens_per_s
        if not self.step_ms or (num_prompt_tokens and not speed):
            return inf
        return self.step_ms / 1000 + (num_prompt_tokens / speed if num_prompt_tokens else 0.0)
