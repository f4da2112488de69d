"""Wire messages as results. Knows nothing of calls."""

from baton.client.results import (
    Accepted,
    Delta,
    Done,
    Event,
    Explanation,
    Member,
    Model,
    Part,
    PromptLogprobs,
    Timings,
    Usage,
)
from baton.v1 import fleet_pb2, inference_pb2
from common.net.convert import finish_from_proto, logprobs_from_proto
from common.net.convert_fleet import hello_from_proto, load_from_proto
from common.text.tools.parts import CallArguments, CallBegin, Reasoning


def event(message: inference_pb2.GenerateResponse) -> Event | None:
    """None for an event this version does not know: later versions may add some."""
    match message.WhichOneof("event"):
        case "accepted":
            return Accepted(message.accepted.request_id, message.accepted.model, message.accepted.num_prompt_tokens)
        case "prompt_logprobs":
            return PromptLogprobs(tuple(logprobs_from_proto(each) for each in message.prompt_logprobs.tokens))
        case "delta":
            return delta(message.delta)
        case "done":
            return done(message.done)
        case _:
            return None


def delta(message: inference_pb2.Delta) -> Delta:
    return Delta(
        choice=message.choice,
        text=message.text,
        token_ids=tuple(message.token_ids),
        logprobs=tuple(logprobs_from_proto(each) for each in message.logprobs),
        finish=finish_from_proto(message.finish),
        parts=tuple(part for each in message.parts if (part := _part(each)) is not None),
    )


def _part(message: inference_pb2.Part) -> Part | None:
    """None for a kind this version does not know."""
    match message.WhichOneof("part"):
        case "reasoning":
            return Reasoning(message.reasoning)
        case "call_begin":
            begin = message.call_begin
            return CallBegin(begin.index, begin.id, begin.name)
        case "call_arguments":
            return CallArguments(message.call_arguments.index, message.call_arguments.text)
        case _:
            return None


def done(message: inference_pb2.Done) -> Done:
    usage, timings = message.usage, message.timings
    return Done(
        usage=Usage(
            usage.num_prompt_tokens, usage.num_cached_tokens, usage.num_output_tokens, usage.num_reasoning_tokens
        ),
        timings=Timings(
            queue_ms=timings.queue_ms,
            prefill_ms=timings.prefill_ms,
            handoff_ms=timings.handoff_ms,
            decode_ms=timings.decode_ms,
            ttft_ms=timings.ttft_ms,
            total_ms=timings.total_ms,
        ),
        num_attempts=message.num_attempts,
        explanations=tuple(
            Explanation(each.decision, each.chosen, tuple(each.candidates)) for each in message.explanations
        ),
    )


def model(message: inference_pb2.Model) -> Model:
    return Model(
        id=message.id,
        max_model_tokens=message.max_model_tokens,
        vocab_size=message.vocab_size,
        architecture=message.architecture,
        ready=message.ready,
    )


def member(message: fleet_pb2.Member) -> Member:
    return Member(
        hello=hello_from_proto(message.hello),
        load=load_from_proto(message.load),
        draining=message.draining,
        silence_ms=message.silence_ms,
        num_attempts=message.num_attempts,
        num_hashes=message.num_hashes,
    )
