"""The events of a generation put together to one completion. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from baton.client.chats import ToolCall
from baton.client.results import Accepted, Answer, Completion, Delta, Done, Event, Part, PromptLogprobs
from common.text.tools.parts import CallArguments, CallBegin, Reasoning
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
    parts = [part for delta in deltas for part in delta.parts]
    return Answer(
        text="".join(delta.text for delta in deltas),
        token_ids=tuple(token for delta in deltas for token in delta.token_ids),
        logprobs=tuple(token for delta in deltas for token in delta.logprobs),
        finish=deltas[-1].finish,
        reasoning="".join(part.text for part in parts if isinstance(part, Reasoning)),
        tool_calls=_calls(parts),
    )


def _calls(parts: Sequence[Part]) -> tuple[ToolCall, ...]:
    """In the order of their beginnings."""
    calls: dict[int, ToolCall] = {}
    for part in parts:
        if isinstance(part, CallBegin):
            calls[part.index] = ToolCall(part.id, part.name, "")
        elif isinstance(part, CallArguments) and part.index in calls:
            calls[part.index] = replace(calls[part.index], arguments=calls[part.index].arguments + part.text)
    return tuple(calls.values())
