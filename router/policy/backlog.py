"""Prompt tokens that a router sent to one member and has not seen computed yet. Pure: `now` comes in.

Reports come once a second, and in a second a queue may come and go. What the router itself sent it knows at once.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

REPORT_LAG_S = 0.1
"""A report may have been written this long before it arrived: what happened meanwhile is not in it."""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Tokens of all prompts that are not computed; of the oldest one, how many, and for how long it has been that."""

    num_tokens: int = 0
    head_tokens: int = 0
    head_s: float = 0.0


class Backlog:
    """Members compute prompts one after the other: what is done of the oldest is a matter of time and speed."""

    def __init__(self) -> None:
        self._prompts: dict[Hashable, int] = {}
        self._head_since: float | None = None
        self._ended: deque[tuple[float, int]] = deque()

    def add(self, prompt: Hashable, num_tokens: int, now: float) -> None:
        if num_tokens:
            if not self._prompts:
                self._head_since = now
            self._prompts[prompt] = num_tokens

    def end(self, prompt: Hashable, now: float | None = None) -> None:
        """It was computed at this time, or given up at a time that nobody noted. Repeating it changes nothing."""
        if prompt not in self._prompts:
            return
        if next(iter(self._prompts)) is prompt:
            self._head_since = now
        num_tokens = self._prompts.pop(prompt)
        if now is not None:
            self._ended.append((now, num_tokens))

    def reportable_tokens(self, now: float) -> int:
        """At most so many of the tokens in a report that arrives now are known here, none of them computed for sure."""
        while self._ended and now - self._ended[0][0] >= REPORT_LAG_S:
            self._ended.popleft()
        return sum(self._prompts.values()) + sum(num_tokens for _, num_tokens in self._ended)

    def outstanding(self, now: float | None) -> Outstanding:
        """Without a time, nothing is taken to be done of the oldest."""
        if not self._prompts:
            return Outstanding()
        if self._head_since is None:
            self._head_since = now
        age_s = 0.0 if now is None or self._head_since is None else max(0.0, now - self._head_since)
        return Outstanding(sum(self._prompts.values()), next(iter(self._prompts.values())), age_s)
