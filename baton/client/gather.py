"""The events of a generation put together to one completion. Pure."""

from baton.client.results import Accepted, Answer, Completion, Delta, Done, Event, PromptLogprobs
from common.types.errors import Unavailable


class Gathered:
    """What has arrived of a generation so far."""

    def __init__(self) -> None:
        self._accepted: Accepted | None = None
        self._done: Done | None = None
        self._prompt: list[PromptLogprobs] = []
        self._deltas: dict[int, list[Delta]] = {}

    def add(self, event: Event) -> None:
        match event:
            case Accepted():
                self._accepted = event
            case PromptLogprobs():
                self._prompt.append(event)
            case Delta():
                self._deltas.setdefault(event.choice, []).append(event)
            case Done():
                self._done = event

    def completion(self) -> Completion:
        """The whole; a stream that ended before its last event did not end well."""
        if self._accepted is None or self._done is None:
            raise Unavailable("the stream ended before its last event", "generate")
        return Completion(
            accepted=self._accepted,
            answers=tuple(_answer(self._deltas[choice]) for choice in sorted(self._deltas)),
            done=self._done,
            prompt_logprobs=tuple(token for part in self._prompt for token in part.tokens),
        )


def _answer(deltas: list[Delta]) -> Answer:
    return Answer(
        text="".join(delta.text for delta in deltas),
        token_ids=tuple(token for delta in deltas for token in delta.token_ids),
        logprobs=tuple(token for delta in deltas for token in delta.logprobs),
        finish=deltas[-1].finish,
    )
