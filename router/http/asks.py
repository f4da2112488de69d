"""From a body to what is asked of the serving. Pure; owns what the dialect implies and no limits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common.text.chat import ChatTemplate
from common.types.errors import InvalidRequest, Violation, invalid
from common.types.tools import Offer, ToolChoice
from common.types.tools import Tool as OfferedTool
from router.ask import Ask, ChatAsk, ChatMessage, Prompt, ToolCall
from router.conversation import arguments_of, checked_turn
from router.http.constraints import constraint_of
from router.http.schema.chat import ChatBody, Message, NamedTool, Tool
from router.http.schema.chat import ToolCall as SentCall
from router.http.schema.completion import CompletionBody
from router.http.schema.sampled import Sampled

COMPLETION_TOKENS = 16
"""OpenAI's default for completions; a chat's answer is as long as the context allows."""
SEEDS = (1 << 64) - 1
"""Negative ones count from the other end."""


def check_choices(body: Sampled, most: int) -> None:
    """Before anything is made for each of them: the serving looks at it later than that."""
    if body.n is not None and body.n > most:
        raise invalid("n", f"must be between 1 and {most}")


def completion_asks(body: CompletionBody, most: int) -> tuple[Ask, ...]:
    """One for each prompt, of which there may be so many."""
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise invalid("best_of", "must equal n: all answers are returned")
    if body.max_tokens == 0 and not body.echo:
        raise invalid("max_tokens", "must be at least 1, or 0 with echo")
    scores = body.prompt_logprobs
    if body.echo and body.logprobs is not None:
        scores = max(body.logprobs, scores or 0)
    asked = replace(
        _sampled(body),
        max_tokens=COMPLETION_TOKENS if body.max_tokens is None else max(1, body.max_tokens),
        logprobs=body.logprobs,
        prompt_logprobs=scores,
    )
    return tuple(replace(asked, prompt=prompt) for prompt in prompts_of(body, most))


def prompts_of(body: CompletionBody, most: int) -> list[Prompt]:
    if isinstance(body.prompt, str):
        return [body.prompt]
    given: list[Any] = body.prompt
    if not given:
        raise invalid("prompt", "must not be empty")
    if isinstance(given[0], int):
        return [tuple(given)]
    if len(given) > most:
        raise invalid("prompt", f"has {len(given)} prompts, at most {most} are allowed")
    return [one if isinstance(one, str) else tuple(one) for one in given]


def chat_ask(body: ChatBody, template: ChatTemplate | None) -> Ask:
    """The conversation as the template takes it; a template that is None is refused further on."""
    if body.top_logprobs is not None and not body.logprobs:
        raise invalid("top_logprobs", "needs logprobs to be true")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise invalid("max_tokens", "cannot be combined with max_completion_tokens")
    if body.user is not None and body.safety_identifier is not None:
        raise invalid("user", "cannot be combined with safety_identifier")
    opens = True if body.add_generation_prompt is None else body.add_generation_prompt
    tools = () if body.tool_choice == "none" else tuple(body.tools or ())
    return replace(
        _sampled(body),
        prompt=conversation(body.messages, tools, opens=opens, variables=_variables(body, template)),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        prompt_logprobs=body.prompt_logprobs,
    )


def offer_of(body: ChatBody) -> Offer:
    """What may be called. A list of no tools goes with the choice that it leaves."""
    choice = None
    if isinstance(body.tool_choice, NamedTool):
        choice = ToolChoice.named(body.tool_choice.function.name)
    elif body.tool_choice is not None and not (body.tools == [] and body.tool_choice == "auto"):
        choice = ToolChoice.of(body.tool_choice)
    offered = tuple(
        OfferedTool(tool.function.name, tool.function.parameters, bool(tool.function.strict))
        for tool in body.tools or ()
    )
    return Offer(offered, choice, body.parallel_tool_calls is not False)


def conversation(
    messages: list[Message],
    tools: tuple[Tool, ...],
    *,
    opens: bool,
    variables: Mapping[str, Any] | None = None,
) -> ChatAsk:
    """Raises InvalidRequest that names the message at fault."""
    turns = tuple(_turn(message, f"messages[{place}]") for place, message in enumerate(messages))
    described = tuple(tool.model_dump(exclude_none=True) for tool in tools)
    return ChatAsk(turns, opens, described, variables or {})


def _sampled(body: Sampled) -> Ask:
    """What both kinds of completion share."""
    if body.stream_options is not None and not body.stream:
        raise invalid("stream_options", "needs stream to be true")
    constraint = constraint_of(body)
    return Ask(
        prompt=None,
        model=body.model,
        temperature=body.temperature,
        top_k=0 if body.top_k == -1 else body.top_k,
        top_p=body.top_p,
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=_biases(body.logit_bias or {}),
        seed=None if body.seed is None else body.seed & SEEDS,
        num_choices=body.n,
        min_tokens=body.min_tokens,
        stop=_stops(body),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        ignore_eos=bool(body.ignore_eos),
        constraint=None if constraint is None else constraint[1],
    )


def _stops(body: Sampled) -> tuple[str, ...]:
    match body.stop:
        case None:
            return ()
        case str(text):
            return (text,)
        case texts:
            return tuple(texts)


def _biases(given: Mapping[str, float]) -> dict[int, float]:
    """JSON has only texts as keys."""
    if not all(token_id.isascii() and token_id.isdecimal() and len(token_id) <= 10 for token_id in given):
        raise invalid("logit_bias", "must map token ids to numbers")
    return {int(token_id): bias for token_id, bias in given.items()}


def _variables(body: ChatBody, template: ChatTemplate | None) -> dict[str, Any]:
    """Only what the template knows: a setting without effect would be a lie."""
    given: dict[str, Any] = dict(body.chat_template_kwargs or {})
    fields = {name: f"chat_template_kwargs.{name}" for name in given}
    if body.reasoning_effort is not None:
        given["reasoning_effort"] = body.reasoning_effort
        fields["reasoning_effort"] = "reasoning_effort"
    unknown = [field for name, field in fields.items() if template is None or not template.may_set(name)]
    if unknown:
        raise InvalidRequest(*(Violation(field, "is not known to this model's chat template") for field in unknown))
    return given


def _turn(message: Message, field: str) -> ChatMessage:
    content = message.content
    if isinstance(content, list):
        content = "\n".join(part.text for part in content)
    if content is None and message.role == "assistant":
        content = message.refusal
    return checked_turn(
        ChatMessage(
            role=message.role,
            content=content,
            name=message.name,
            tool_calls=tuple(
                _call(call, f"{field}.tool_calls[{place}]") for place, call in enumerate(message.tool_calls or ())
            ),
            tool_call_id=message.tool_call_id,
            reasoning=message.reasoning if message.reasoning is not None else message.reasoning_content,
        ),
        field,
    )


def _call(call: SentCall, field: str) -> ToolCall:
    function = call.function
    return ToolCall(call.id, function.name, arguments_of(function.arguments, f"{field}.function.arguments"))
