"""What calls return: frozen, plain Python. Knows nothing of the wire."""

from dataclasses import dataclass

from baton.client.chats import Message, ToolCall
from common.text.tools.parts import CallArguments, CallBegin, Reasoning
from common.types.member import Hello, Load
from common.types.sampling import FinishReason, TokenLogprobs

Part = Reasoning | CallBegin | CallArguments
"""A piece of a chat's answer that is not words for the user. All arguments of a finished call are one JSON object."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """First event of a generation: the request was admitted."""

    request_id: str
    model: str
    num_prompt_tokens: int


@dataclass(frozen=True, slots=True)
class PromptLogprobs:
    """Log probabilities of the prompt's tokens; the first token has none."""

    tokens: tuple[TokenLogprobs, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of one answer; `finish` is set in its last one.

    In a chat `text` is words for the user, and `parts` what the model thought or calls, after the text.
    """

    choice: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish: FinishReason | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts; cached ones are part of the prompt's, a chat's reasoning of the output's."""

    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int
    num_reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in milliseconds; see `Timings` in inference.proto."""

    queue_ms: float
    prefill_ms: float
    handoff_ms: float
    decode_ms: float
    ttft_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision of the router: what was chosen among what."""

    decision: str
    chosen: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Last event of a generation that ends well."""

    usage: Usage
    timings: Timings
    num_attempts: int
    explanations: tuple[Explanation, ...] = ()


Event = Accepted | PromptLogprobs | Delta | Done


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the n answers, whole."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...]
    finish: FinishReason | None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def message(self) -> Message:
        """The assistant's turn, to go on from: tools' answers to its calls come after it."""
        return Message("assistant", self.text, tool_calls=self.tool_calls, reasoning=self.reasoning or None)


@dataclass(frozen=True, slots=True)
class Completion:
    """A generation, whole."""

    accepted: Accepted
    answers: tuple[Answer, ...]
    done: Done
    prompt_logprobs: tuple[TokenLogprobs, ...] = ()

    @property
    def text(self) -> str:
        """The first answer's."""
        return self.answers[0].text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The first answer's."""
        return self.answers[0].tool_calls


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as tokens, and how many a prompt and its answer may have together."""

    token_ids: tuple[int, ...]
    max_model_tokens: int


@dataclass(frozen=True, slots=True)
class Model:
    """A served model; `ready` when a request would have somewhere to go."""

    id: str
    max_model_tokens: int
    vocab_size: int
    architecture: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A live worker as the router sees it; the hash lists of `load` are left out."""

    hello: Hello
    load: Load
    draining: bool
    silence_ms: int
    num_attempts: int
    num_hashes: int
