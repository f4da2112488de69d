"""From the messages of `Inference` to what is asked of the serving; owns what gRPC calls each field."""

import re
from typing import Any

from baton.v1 import inference_pb2
from common.net.convert_sampling import constraint_from_proto
from common.types.errors import InvalidRequest, Violation, invalid
from common.types.tools import MAX_CALL_ID_CHARS, MAX_TOOLS, NAME_PATTERN, Choose, Offer, Tool, ToolChoice
from router.ask import Ask, ChatAsk, ChatMessage, Prompt, ToolCall
from router.conversation import arguments_of, checked_turn
from router.strict_json import parse_object

TOOLS, VARIABLES = "chat.tools", "chat.template_variables"
MAX_VARIABLES = 128
_MODES = {
    inference_pb2.TOOL_CHOICE_MODE_UNSPECIFIED: Choose.AUTO,
    inference_pb2.TOOL_CHOICE_MODE_AUTO: Choose.AUTO,
    inference_pb2.TOOL_CHOICE_MODE_NONE: Choose.NONE,
    inference_pb2.TOOL_CHOICE_MODE_REQUIRED: Choose.REQUIRED,
}
_NAME = re.compile(NAME_PATTERN)


def ask_of(request: inference_pb2.GenerateRequest) -> Ask:
    """Absent fields become None, so that one place owns the defaults."""
    wanted = request.sampling
    return Ask(
        prompt=prompt_of(request, request.WhichOneof("prompt")),
        model=request.model if request.HasField("model") else None,
        temperature=wanted.temperature if wanted.HasField("temperature") else None,
        top_k=wanted.top_k if wanted.HasField("top_k") else None,
        top_p=wanted.top_p if wanted.HasField("top_p") else None,
        min_p=wanted.min_p if wanted.HasField("min_p") else None,
        repetition_penalty=wanted.repetition_penalty if wanted.HasField("repetition_penalty") else None,
        presence_penalty=wanted.presence_penalty if wanted.HasField("presence_penalty") else None,
        frequency_penalty=wanted.frequency_penalty if wanted.HasField("frequency_penalty") else None,
        logit_bias=dict(wanted.logit_bias),
        seed=wanted.seed if wanted.HasField("seed") else None,
        num_choices=request.n if request.HasField("n") else None,
        max_tokens=request.max_tokens if request.HasField("max_tokens") else None,
        min_tokens=request.min_tokens if request.HasField("min_tokens") else None,
        stop=tuple(request.stop),
        stop_token_ids=tuple(request.stop_token_ids),
        ignore_eos=request.ignore_eos,
        logprobs=request.logprobs if request.HasField("logprobs") else None,
        prompt_logprobs=request.prompt_logprobs if request.HasField("prompt_logprobs") else None,
        explain=request.explain,
        constraint=constraint_from_proto(request.constraint) if request.HasField("constraint") else None,
    )


def prompt_of(
    request: inference_pb2.GenerateRequest | inference_pb2.TokenizeRequest, form: str | None
) -> Prompt | None:
    """In the form that was sent; None when there was none."""
    match form:
        case "text":
            return request.text
        case "tokens" if isinstance(request, inference_pb2.GenerateRequest):
            return tuple(request.tokens.ids)
        case "chat":
            chat, offer = request.chat, offer_of(request.chat)
            turns = tuple(_turn(message, f"chat.messages[{place}]") for place, message in enumerate(chat.messages))
            opens = chat.add_generation_prompt if chat.HasField("add_generation_prompt") else True
            tools = tuple(map(_described, offer.tools)) if offer.stands else ()
            return ChatAsk(turns, opens, tools, _variables(chat))
        case _:
            return None


def offer_of(chat: inference_pb2.Chat) -> Offer:
    """What its answer may call; raises InvalidRequest that names the tool at fault."""
    if len(chat.tools) > MAX_TOOLS:
        raise invalid(TOOLS, f"must have at most {MAX_TOOLS} entries")
    tools = tuple(_tool(tool, f"{TOOLS}[{place}]") for place, tool in enumerate(chat.tools))
    choice = None
    match chat.tool_choice.WhichOneof("choice"):
        case "function":
            choice = ToolChoice.named(chat.tool_choice.function)
        case "mode":
            if chat.tool_choice.mode not in _MODES:
                raise invalid("chat.tool_choice.mode", "must be a known mode")
            choice = ToolChoice(_MODES[chat.tool_choice.mode])
    return Offer(tools, choice, chat.parallel_tool_calls if chat.HasField("parallel_tool_calls") else True)


def renamed(error: InvalidRequest, *, calls: bool) -> InvalidRequest:
    """With fields as they are called here; with `calls` the constraint is one that was made of the tools."""
    return InvalidRequest(*(Violation(_field(each.field, calls), each.description) for each in error.violations))


def _field(name: str, calls: bool) -> str:
    if name == "constraint" and calls:
        return TOOLS
    return "chat." + name.replace(".function.", ".") if name.startswith("tool") else name


def _turn(message: inference_pb2.ChatMessage, field: str) -> ChatMessage:
    """On this wire a text that is empty and one that is not there look the same."""
    turn = ChatMessage(
        role=message.role,
        content=message.content or (None if message.tool_calls else ""),
        name=message.name if message.HasField("name") else None,
        tool_calls=tuple(_call(call, f"{field}.tool_calls[{place}]") for place, call in enumerate(message.tool_calls)),
        tool_call_id=message.tool_call_id if message.HasField("tool_call_id") else None,
        reasoning=message.reasoning if message.HasField("reasoning") else None,
    )
    if len(turn.tool_calls) > MAX_TOOLS:
        raise invalid(f"{field}.tool_calls", f"must have at most {MAX_TOOLS} entries")
    if turn.tool_call_id is not None:
        _check_id(turn.tool_call_id, f"{field}.tool_call_id")
    return checked_turn(turn, field)


def _variables(chat: inference_pb2.Chat) -> dict[str, Any]:
    """Whether the template knows them is seen where it is. This wire has no whole numbers, templates do."""
    if len(chat.template_variables) > MAX_VARIABLES:
        raise invalid(VARIABLES, f"must have at most {MAX_VARIABLES} entries")
    found: dict[str, Any] = {}
    for name, value in chat.template_variables.items():
        if not isinstance(value, bool | float | str):
            raise invalid(f"{VARIABLES}.{name}", "must be true, false, a number or a text")
        found[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return found


def _call(call: inference_pb2.ToolCall, field: str) -> ToolCall:
    _check_id(call.id, f"{field}.id")
    _check_name(call.name, f"{field}.name")
    return ToolCall(call.id, call.name, arguments_of(call.arguments, f"{field}.arguments"))


def _tool(tool: inference_pb2.Tool, field: str) -> Tool:
    _check_name(tool.name, f"{field}.name")
    parameters: dict[str, Any] | None = None
    if tool.HasField("parameters"):
        try:
            parameters = parse_object(tool.parameters.encode())
        except InvalidRequest as error:
            why = error.violations[0].description
            raise invalid(f"{field}.parameters", f"{why}; it must be the text of a JSON schema") from None
    return Tool(tool.name, parameters, tool.strict, tool.description)


def _described(tool: Tool) -> dict[str, Any]:
    """As templates take a tool."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = dict(tool.parameters)
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _check_id(id: str, field: str) -> None:
    if not 1 <= len(id) <= MAX_CALL_ID_CHARS:
        raise invalid(field, f"must have between 1 and {MAX_CALL_ID_CHARS} characters")


def _check_name(name: str, field: str) -> None:
    if not _NAME.fullmatch(name):
        raise invalid(field, "must have at most 64 letters, digits, `_`, `-` and `.`, and at least one")
