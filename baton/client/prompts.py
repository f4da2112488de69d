"""What a user asks: a prompt in one of three forms, and how to answer it, as wire messages.

A name left out stays absent on the wire: defaults are the router's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from baton.v1 import inference_pb2, types_pb2
from common.net.convert_sampling import constraint_to_proto
from common.types.constraint import Constraint
from common.types.errors import invalid


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; the role is system, user, assistant, or what the model's template knows."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, rendered with the model's own template."""

    messages: tuple[Message, ...]
    add_generation_prompt: bool = True


Prompt = str | Sequence[int] | Chat
"""Plain text, token ids taken as they are, or a conversation."""


class Asking(TypedDict, total=False):
    """How to answer; see `GenerateRequest` and `Sampling` in protos/ for what each means and its default."""

    model: str
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    seed: int
    n: int
    max_tokens: int
    min_tokens: int
    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    logprobs: int
    prompt_logprobs: int
    explain: bool
    constraint: Constraint


SAMPLING = frozenset(types_pb2.Sampling.DESCRIPTOR.fields_by_name)


def generate_request(prompt: Prompt, asking: Asking) -> inference_pb2.GenerateRequest:
    """The wire message; a value the wire cannot hold is named in an InvalidRequest."""
    request = inference_pb2.GenerateRequest()
    if isinstance(prompt, Chat):
        request.chat.CopyFrom(chat_message(prompt))
    elif isinstance(prompt, str):
        request.text = prompt
    else:
        _set(request.tokens, "ids", tuple(prompt))
        request.tokens.SetInParent()
    for name, value in asking.items():
        _set(request.sampling if name in SAMPLING else request, name, value)
    return request


def tokenize_request(
    prompt: str | Chat, model: str | None, add_special_tokens: bool | None
) -> inference_pb2.TokenizeRequest:
    request = inference_pb2.TokenizeRequest(model=model, add_special_tokens=add_special_tokens)
    if isinstance(prompt, Chat):
        request.chat.CopyFrom(chat_message(prompt))
    else:
        request.text = prompt
    return request


def chat_message(chat: Chat) -> inference_pb2.Chat:
    turns = [inference_pb2.ChatMessage(role=turn.role, content=turn.content) for turn in chat.messages]
    return inference_pb2.Chat(messages=turns, add_generation_prompt=chat.add_generation_prompt)


def as_chat(messages: Sequence[Message | Mapping[str, str]]) -> Chat:
    """Accepts the dictionaries other clients use; a key other than role and content is refused."""
    return Chat(tuple(turn if isinstance(turn, Message) else _turn(turn) for turn in messages))


def _turn(turn: Mapping[str, str]) -> Message:
    if turn.keys() != {"role", "content"}:
        raise invalid("messages", "every message has a role and a content, and nothing else")
    return Message(turn["role"], turn["content"])


def _set(
    message: inference_pb2.GenerateRequest | types_pb2.Sampling | types_pb2.TokenIds, name: str, value: object
) -> None:
    if name not in message.DESCRIPTOR.fields_by_name:
        raise TypeError(f"unknown argument {name!r}")
    held = getattr(message, name)
    try:
        if isinstance(value, Constraint):
            held.CopyFrom(constraint_to_proto(value))
        elif isinstance(value, Mapping):
            held.update(value)
        elif isinstance(value, (str, int, float)):
            setattr(message, name, value)
        else:
            held.extend(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(name, "cannot have this value") from error
