"""Sampling as workers receive it, every default resolved.

Knows nothing of what a server is willing to serve (longest answer, most alternatives): that is admission's business.
"""

from baton.v1 import types_pb2
from common.net import wire
from common.types.constraint import MAX_SOURCE_CHARS, Constraint, ConstraintKind
from common.types.errors import invalid
from common.types.sampling import Sampling

_KINDS: dict[ConstraintKind, types_pb2.ConstraintKind] = {
    ConstraintKind.JSON_OBJECT: types_pb2.CONSTRAINT_KIND_JSON_OBJECT,
    ConstraintKind.JSON_SCHEMA: types_pb2.CONSTRAINT_KIND_JSON_SCHEMA,
    ConstraintKind.REGEX: types_pb2.CONSTRAINT_KIND_REGEX,
    ConstraintKind.GRAMMAR: types_pb2.CONSTRAINT_KIND_GRAMMAR,
    ConstraintKind.CHOICE: types_pb2.CONSTRAINT_KIND_CHOICE,
}
_KINDS_BACK: dict[int, ConstraintKind] = {number: kind for kind, number in _KINDS.items()}


def constraint_to_proto(constraint: Constraint) -> types_pb2.Constraint:
    return types_pb2.Constraint(kind=_KINDS[constraint.kind], source=constraint.source)


def constraint_from_proto(message: types_pb2.Constraint, field: str = "constraint") -> Constraint:
    """Whether its source means anything is not looked at."""
    if message.kind not in _KINDS_BACK:
        raise invalid(field, "must be of a known kind")
    if len(message.source) > MAX_SOURCE_CHARS:
        raise invalid(field, f"must have at most {MAX_SOURCE_CHARS} characters")
    return Constraint(_KINDS_BACK[message.kind], message.source)


def sampling_to_proto(sampling: Sampling) -> types_pb2.ResolvedSampling:
    return types_pb2.ResolvedSampling(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=dict(sampling.logit_bias),
        seed=sampling.seed,
        max_tokens=sampling.max_tokens,
        min_tokens=sampling.min_tokens,
        stop_token_ids=sampling.stop_token_ids,
        logprobs=sampling.logprobs,
        prompt_logprobs=sampling.prompt_logprobs,
        constraint=None if sampling.constraint is None else constraint_to_proto(sampling.constraint),
    )


def sampling_from_proto(message: types_pb2.ResolvedSampling, prefix: str = "sampling.") -> Sampling:
    return _checked(
        Sampling(
            seed=message.seed,
            temperature=message.temperature,
            top_k=message.top_k,
            top_p=message.top_p,
            min_p=message.min_p,
            repetition_penalty=message.repetition_penalty,
            presence_penalty=message.presence_penalty,
            frequency_penalty=message.frequency_penalty,
            logit_bias=tuple(sorted(message.logit_bias.items())),
            max_tokens=message.max_tokens,
            min_tokens=message.min_tokens,
            stop_token_ids=tuple(message.stop_token_ids),
            logprobs=message.logprobs if message.HasField("logprobs") else None,
            prompt_logprobs=message.prompt_logprobs if message.HasField("prompt_logprobs") else None,
            constraint=(
                constraint_from_proto(message.constraint, prefix + "constraint")
                if message.HasField("constraint")
                else None
            ),
        ),
        prefix,
    )


def _checked(sampling: Sampling, prefix: str) -> Sampling:
    wire.real(prefix + "temperature", sampling.temperature, 0, 100)
    wire.number(prefix + "top_k", sampling.top_k, 0, wire.MAX_TOKEN_ID)
    wire.real(prefix + "top_p", sampling.top_p, 2**-20, 1)
    wire.real(prefix + "min_p", sampling.min_p, 0, 1)
    wire.real(prefix + "repetition_penalty", sampling.repetition_penalty, 2**-7, 100)
    wire.real(prefix + "presence_penalty", sampling.presence_penalty, -100, 100)
    wire.real(prefix + "frequency_penalty", sampling.frequency_penalty, -100, 100)
    wire.bounded(prefix + "logit_bias", sampling.logit_bias, wire.MAX_LOGIT_BIAS)
    for token_id, bias in sampling.logit_bias:
        wire.number(prefix + "logit_bias", token_id, 0, wire.MAX_TOKEN_ID)
        wire.real(prefix + "logit_bias", bias, -1000, 1000)
    wire.number(prefix + "max_tokens", sampling.max_tokens, 1, wire.MAX_TOKENS)
    wire.number(prefix + "min_tokens", sampling.min_tokens, 0, sampling.max_tokens)
    wire.token_ids(prefix + "stop_token_ids", sampling.stop_token_ids, wire.MAX_STOP_TOKENS)
    if sampling.logprobs is not None:
        wire.number(prefix + "logprobs", sampling.logprobs, 0, wire.MAX_TOP_LOGPROBS)
    if sampling.prompt_logprobs is not None:
        wire.number(prefix + "prompt_logprobs", sampling.prompt_logprobs, 0, wire.MAX_TOP_LOGPROBS)
    return sampling
