"""What came for one prompt, put together: for answers that are sent as a whole. Knows nothing of JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from common.types.sampling import FinishReason, TokenLogprobs
from router.answer import Delta
from router.relay import Scores
from router.serving import Accepted, Message
from router.timeline import Summary


@dataclass(slots=True)
class Choice:
    """One of the n answers."""

    deltas: list[Delta] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def token_ids(self) -> list[int]:
        return [token_id for delta in self.deltas for token_id in delta.token_ids]

    @property
    def logprobs(self) -> list[TokenLogprobs]:
        return [logprobs for delta in self.deltas for logprobs in delta.logprobs]

    @property
    def finish(self) -> FinishReason | None:
        return self.deltas[-1].finish if self.deltas else None


@dataclass(slots=True)
class Gathered:
    """`take` everything that is written, then read."""

    choices: list[Choice]
    accepted: Accepted | None = None
    scores: list[TokenLogprobs] = field(default_factory=list)
    summary: Summary | None = None

    @classmethod
    def of(cls, num_choices: int | None) -> "Gathered":
        return cls([Choice() for _ in range(num_choices or 1)])

    ready = True
    """As an outlet: it always has room."""

    def push(self, messages: Sequence[Message]) -> None:
        self.take(messages)

    def take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            match message:
                case Delta():
                    self.choices[message.choice].deltas.append(message)
                case Accepted():
                    self.accepted = message
                case Scores(tokens):
                    self.scores.extend(tokens)
                case Summary():
                    self.summary = message
