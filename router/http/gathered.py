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

    texts: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish: FinishReason | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


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

    def take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            match message:
                case Delta():
                    choice = self.choices[message.choice]
                    choice.texts.append(message.text)
                    choice.token_ids.extend(message.token_ids)
                    choice.logprobs.extend(message.logprobs)
                    choice.finish = message.finish or choice.finish
                case Accepted():
                    self.accepted = message
                case Scores(tokens):
                    self.scores.extend(tokens)
                case Summary():
                    self.summary = message
