"""What a user asks: a prompt in one of three forms, and how to answer it, as wire messages.

A name left out stays absent on the wire: defaults are the router's.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from baton.client.chats import Chat, Message
from baton.v1 import inference_pb2, types_pb2
from common.net.convert_sampling import constraint_to_proto
from common.types.constraint import Constraint
from common.types.errors import invalid
from common.types.tools import Choose, Tool, ToolChoice

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


_MODES = {
    Choose.AUTO: inference_pb2.TOOL_CHOICE_MODE_AUTO,
    Choose.NONE: inference_pb2.TOOL_CHOICE_MODE_NONE,
    Choose.REQUIRED: inference_pb2.TOOL_CHOICE_MODE_REQUIRED,
}
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
    """Raises InvalidRequest where a value is of another kind than the wire's."""
    try:
        message = inference_pb2.Chat(
            messages=[_turn(turn) for turn in chat.messages],
            add_generation_prompt=chat.add_generation_prompt,
            tools=[_tool(tool) for tool in chat.tools],
            tool_choice=None if chat.tool_choice is None else _choice(chat.tool_choice),
            parallel_tool_calls=chat.parallel_tool_calls,
        )
        if chat.template_variables:
            message.template_variables.update(chat.template_variables)
        return message
    except (TypeError, ValueError) as error:
        raise invalid("chat", "has a value of another kind than it must be") from error


def _turn(turn: Message) -> inference_pb2.ChatMessage:
    calls = [inference_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in turn.tool_calls]
    return inference_pb2.ChatMessage(
        role=turn.role,
        content=turn.content,
        name=turn.name,
        tool_calls=calls,
        tool_call_id=turn.tool_call_id,
        reasoning=turn.reasoning,
    )


def _tool(tool: Tool) -> inference_pb2.Tool:
    return inference_pb2.Tool(
        name=tool.name,
        description=tool.description,
        parameters=None if tool.parameters is None else json.dumps(tool.parameters),
        strict=tool.strict,
    )


def _choice(choice: ToolChoice) -> inference_pb2.ToolChoice:
    if choice.choose is Choose.NAMED:
        return inference_pb2.ToolChoice(function=choice.name)
    return inference_pb2.ToolChoice(mode=_MODES[choice.choose])


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
