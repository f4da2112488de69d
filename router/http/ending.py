"""When a stream's last chunks may be written: the last choice's end waits for the counts and times that go with it.

Pure bookkeeping over all prompts and choices of one request.
"""

from collections.abc import Callable
from typing import Any

from router.http.frames import Frames
from router.http.usage import timings_of, usage_of
from router.timeline import Summary

Close = Callable[..., str]


class Ending:
    """`finished` for each choice, `summed` for each prompt; both return what may be written now."""

    def __init__(self, num_prompts: int, num_choices: int, *, with_usage: bool, num_hidden_tokens: int = 0) -> None:
        self._num_prompts, self._with_usage, self._num_hidden = num_prompts, with_usage, num_hidden_tokens
        self._num_running = num_prompts * num_choices
        self._summaries: list[Summary] = []
        self._last: dict[str, Any] = {}

    def finished(self, choice: dict[str, Any], frames: Frames) -> str:
        """The choice's last chunk, unless it is the stream's last."""
        self._num_running -= 1
        if self._num_running:
            return frames.choice(choice)
        self._last = choice
        return ""

    def summed(self, summary: Summary, frames: Frames, num_reasoning_tokens: int = 0) -> str:
        """After the last prompt's: the held chunk, and usage where it was asked for. The final one has `timings`."""
        self._summaries.append(summary)
        if len(self._summaries) < self._num_prompts:
            return ""
        timings = timings_of(self._summaries)
        if not self._with_usage:
            return frames.choice(self._last, timings=timings)
        usage = usage_of(self._summaries, num_hidden_tokens=self._num_hidden, num_reasoning_tokens=num_reasoning_tokens)
        return frames.choice(self._last) + frames.bare(usage=usage, timings=timings)
