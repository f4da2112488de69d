"""Attempts and tokens between the wire (`types.proto`) and the types everything else speaks.

`x_to_proto` never fails on values this code base makes; `x_from_proto` checks everything and raises InvalidRequest,
naming the field, and nothing else. Other messages stand in the `convert_*` files beside this one.
"""

from collections.abc import Iterable

from baton.v1 import types_pb2
from common.net import wire
from common.net.convert_sampling import sampling_from_proto, sampling_to_proto
from common.types.attempt import Attempt, Choice
from common.types.errors import invalid
from common.types.ids import AttemptId, Role
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs

_ROLES = {Role.PREFILL: types_pb2.ROLE_PREFILL, Role.DECODE: types_pb2.ROLE_DECODE}
_ROLES_BACK: dict[int, Role] = {number: role for role, number in _ROLES.items()}
_FINISHES: dict[FinishReason | None, types_pb2.FinishReason] = {
    None: types_pb2.FINISH_REASON_UNSPECIFIED,
    FinishReason.STOP: types_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: types_pb2.FINISH_REASON_LENGTH,
}
_FINISHES_BACK: dict[int, FinishReason | None] = {number: finish for finish, number in _FINISHES.items()}


def role_to_proto(role: Role) -> types_pb2.Role:
    return _ROLES[role]


def role_from_proto(number: int, field: str = "role") -> Role:
    if number not in _ROLES_BACK:
        raise invalid(field, "must be a known role")
    return _ROLES_BACK[number]


def finish_to_proto(finish: FinishReason | None) -> types_pb2.FinishReason:
    return _FINISHES[finish]


def finish_from_proto(number: int, field: str = "finish") -> FinishReason | None:
    """None when the choice goes on."""
    if number not in _FINISHES_BACK:
        raise invalid(field, "must be a known finish reason")
    return _FINISHES_BACK[number]


def attempt_id_to_proto(id: AttemptId) -> types_pb2.AttemptId:
    return types_pb2.AttemptId(request_id=id.request_id, number=id.number)


def attempt_id_from_proto(message: types_pb2.AttemptId, prefix: str = "attempt.") -> AttemptId:
    return AttemptId(
        wire.name(prefix + "request_id", message.request_id, 64),
        wire.number(prefix + "number", message.number, 1, wire.MAX_U32),
    )


def attempt_to_proto(attempt: Attempt) -> types_pb2.Attempt:
    return types_pb2.Attempt(
        id=attempt_id_to_proto(attempt.id),
        token_ids=attempt.token_ids,
        num_prompt_tokens=attempt.num_prompt_tokens,
        choices=[types_pb2.Choice(index=choice.index, tail=choice.tail) for choice in attempt.choices],
        sampling=sampling_to_proto(attempt.sampling),
        cache_salt=attempt.cache_salt,
        traceparent=attempt.traceparent,
    )


def attempt_from_proto(message: types_pb2.Attempt, prefix: str = "attempt.") -> Attempt:
    attempt_id = attempt_id_from_proto(message.id, prefix + "id.")
    token_ids = wire.token_ids(prefix + "token_ids", message.token_ids, low=1)
    num_prompt_tokens = wire.number(prefix + "num_prompt_tokens", message.num_prompt_tokens, 1, len(token_ids))
    wire.bounded(prefix + "choices", message.choices, wire.MAX_CHOICES, low=1)
    choices = tuple(
        Choice(
            wire.number(prefix + "choices.index", choice.index, 0, wire.MAX_CHOICES - 1),
            wire.token_ids(prefix + "choices.tail", choice.tail),
        )
        for choice in message.choices
    )
    wire.distinct(prefix + "choices", [choice.index for choice in choices])
    if not message.HasField("sampling"):
        raise invalid(prefix + "sampling", "must be set")
    sampling = sampling_from_proto(message.sampling, prefix + "sampling.")
    wire.bounded(prefix + "cache_salt", message.cache_salt, wire.MAX_SALT_BYTES)
    traceparent = wire.name(prefix + "traceparent", message.traceparent, 55) if message.traceparent else ""
    return Attempt(attempt_id, token_ids, num_prompt_tokens, choices, sampling, message.cache_salt, traceparent)


def logprobs_to_proto(logprobs: TokenLogprobs) -> types_pb2.TokenLogprobs:
    return types_pb2.TokenLogprobs(
        token_id=logprobs.token_id,
        logprob=logprobs.logprob,
        top=[types_pb2.TopLogprob(token_id=token_id, logprob=logprob) for token_id, logprob in logprobs.top],
    )


def logprobs_from_proto(message: types_pb2.TokenLogprobs, field: str = "logprobs") -> TokenLogprobs:
    wire.bounded(field + ".top", message.top, wire.MAX_TOP_LOGPROBS)
    return TokenLogprobs(
        wire.number(field + ".token_id", message.token_id, 0, wire.MAX_TOKEN_ID),
        wire.log_probability(field + ".logprob", message.logprob),
        tuple(
            (
                wire.number(field + ".top.token_id", top.token_id, 0, wire.MAX_TOKEN_ID),
                wire.log_probability(field + ".top.logprob", top.logprob),
            )
            for top in message.top
        ),
    )


def sampled_token_to_proto(token: SampledToken) -> types_pb2.SampledToken:
    return types_pb2.SampledToken(
        choice=token.choice,
        index=token.index,
        token_id=token.token_id,
        logprobs=None if token.logprobs is None else logprobs_to_proto(token.logprobs),
        finish=_FINISHES[token.finish],
    )


def sampled_token_from_proto(message: types_pb2.SampledToken, field: str = "token") -> SampledToken:
    return SampledToken(
        wire.number(field + ".choice", message.choice, 0, wire.MAX_CHOICES - 1),
        wire.number(field + ".index", message.index, 0, wire.MAX_TOKENS),
        wire.number(field + ".token_id", message.token_id, 0, wire.MAX_TOKEN_ID),
        logprobs_from_proto(message.logprobs, field + ".logprobs") if message.HasField("logprobs") else None,
        finish_from_proto(message.finish, field + ".finish"),
    )


def first_tokens_from_proto(
    messages: Iterable[types_pb2.SampledToken], field: str = "first_tokens"
) -> tuple[SampledToken, ...]:
    """One per choice, as prefill samples them."""
    tokens = tuple(sampled_token_from_proto(message, field) for message in messages)
    wire.bounded(field, tokens, wire.MAX_CHOICES)
    wire.distinct(field + ".choice", [token.choice for token in tokens])
    return tokens


def prompt_logprobs_from_proto(
    messages: Iterable[types_pb2.TokenLogprobs], field: str = "prompt_logprobs"
) -> tuple[TokenLogprobs, ...]:
    return tuple(logprobs_from_proto(message, field) for message in messages)
