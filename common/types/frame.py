"""Tokens on their way from a decode worker to a router: of one step, or of several that had to wait."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.types.sampling import FinishReason, SampledToken, TokenLogprobs


@dataclass(slots=True)
class Frame:
    """In columns, as they travel: nearly every row is four numbers. What few rows have is said with the row's place."""

    streams: list[int] = field(default_factory=list)
    """The router's short names of attempts."""
    choices: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[tuple[int, TokenLogprobs]] = field(default_factory=list)
    finishes: list[tuple[int, FinishReason]] = field(default_factory=list)
    num_scores: int = 0
    """Log probabilities of all rows together."""

    def __len__(self) -> int:
        return len(self.streams)

    def add(self, stream: int, token: SampledToken) -> None:
        choice, index, token_id, logprobs, finish = token
        if logprobs is not None:
            self.logprobs.append((len(self.streams), logprobs))
            self.num_scores += 1 + len(logprobs.top)
        if finish is not None:
            self.finishes.append((len(self.streams), finish))
        self.streams.append(stream)
        self.choices.append(choice)
        self.indices.append(index)
        self.token_ids.append(token_id)

    def extend(
        self, streams: Sequence[int], choices: Sequence[int], indices: Sequence[int], token_ids: Sequence[int]
    ) -> None:
        """Many rows of nothing but numbers."""
        self.streams += streams
        self.choices += choices
        self.indices += indices
        self.token_ids += token_ids


def frame_of(rows: Iterable[tuple[int, SampledToken]]) -> Frame:
    """For rows that are at hand."""
    frame = Frame()
    for stream, token in rows:
        frame.add(stream, token)
    return frame
