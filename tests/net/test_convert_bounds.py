"""Each bound by itself: one field of a good message is spoilt, and the error names it."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from baton.v1 import decode_pb2, fleet_pb2, kvtransfer_pb2, types_pb2
from common.net import convert, convert_fleet, convert_kv, convert_step, wire
from common.types.attempt import Attempt, Choice
from common.types.constraint import MAX_SOURCE_CHARS
from common.types.errors import InvalidRequest
from common.types.frame import frame_of
from common.types.ids import AttemptId, Role
from common.types.kv import BlockRef, Manifest
from common.types.member import Hello, Load
from common.types.sampling import SampledToken, Sampling, TokenLogprobs


def attempt() -> types_pb2.Attempt:
    choices = (Choice(0), Choice(1, (4, 5)))
    return convert.attempt_to_proto(Attempt(AttemptId("r-1", 1), (1, 2, 3), 2, choices, Sampling(), b"salt"))


def spoil(path: str, value: Any) -> Callable[[Any], None]:
    *outer, last = path.split(".")

    def change(message: Any) -> None:
        for name in outer:
            message = getattr(message, name)
        if isinstance(value, list):
            del getattr(message, last)[:]
            getattr(message, last).extend(value)
        else:
            setattr(message, last, value)

    return change


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("id.request_id", "", "attempt.id.request_id"),
        ("id.request_id", "a b", "attempt.id.request_id"),
        ("id.request_id", "a\n", "attempt.id.request_id"),
        ("id.request_id", "x" * 65, "attempt.id.request_id"),
        ("id.number", 0, "attempt.id.number"),
        ("token_ids", [], "attempt.token_ids"),
        ("token_ids", [1, 1 << 31], "attempt.token_ids"),
        ("num_prompt_tokens", 0, "attempt.num_prompt_tokens"),
        ("num_prompt_tokens", 4, "attempt.num_prompt_tokens"),
        ("choices", [], "attempt.choices"),
        ("choices", [types_pb2.Choice(), types_pb2.Choice()], "attempt.choices"),
        ("choices", [types_pb2.Choice(index=wire.MAX_CHOICES)], "attempt.choices.index"),
        ("choices", [types_pb2.Choice(tail=[1 << 31])], "attempt.choices.tail"),
        ("cache_salt", b"x" * (wire.MAX_SALT_BYTES + 1), "attempt.cache_salt"),
        ("sampling.constraint.kind", 99, "attempt.sampling.constraint"),
        ("sampling.constraint.source", "x" * (MAX_SOURCE_CHARS + 1), "attempt.sampling.constraint"),
        ("sampling.temperature", math.nan, "attempt.sampling.temperature"),
        ("sampling.temperature", -1.0, "attempt.sampling.temperature"),
        ("sampling.temperature", math.inf, "attempt.sampling.temperature"),
        ("sampling.top_p", 0.0, "attempt.sampling.top_p"),
        ("sampling.top_p", 1.5, "attempt.sampling.top_p"),
        ("sampling.min_p", math.nan, "attempt.sampling.min_p"),
        ("sampling.repetition_penalty", 0.0, "attempt.sampling.repetition_penalty"),
        ("sampling.presence_penalty", math.inf, "attempt.sampling.presence_penalty"),
        ("sampling.frequency_penalty", -math.inf, "attempt.sampling.frequency_penalty"),
        ("sampling.max_tokens", 0, "attempt.sampling.max_tokens"),
        ("sampling.min_tokens", 17, "attempt.sampling.min_tokens"),
        ("sampling.stop_token_ids", [1] * (wire.MAX_STOP_TOKENS + 1), "attempt.sampling.stop_token_ids"),
        ("sampling.logprobs", wire.MAX_TOP_LOGPROBS + 1, "attempt.sampling.logprobs"),
        ("sampling.prompt_logprobs", wire.MAX_U32, "attempt.sampling.prompt_logprobs"),
    ],
)
def test_a_bad_attempt_is_refused_by_field(path: str, value: Any, field: str) -> None:
    message = attempt()
    spoil(path, value)(message)
    with pytest.raises(InvalidRequest) as caught:
        convert.attempt_from_proto(message)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_an_attempt_without_sampling_is_refused() -> None:
    message = attempt()
    message.ClearField("sampling")
    with pytest.raises(InvalidRequest, match=r"attempt\.sampling: must be set"):
        convert.attempt_from_proto(message)


@pytest.mark.parametrize("bias", [{1 << 31: 1.0}, {1: math.nan}, {1: 2000.0}, dict.fromkeys(range(1025), 1.0)])
def test_bad_biases_are_refused(bias: dict[int, float]) -> None:
    message = attempt()
    message.sampling.logit_bias.update(bias)
    with pytest.raises(InvalidRequest, match="logit_bias"):
        convert.attempt_from_proto(message)


def hello() -> fleet_pb2.Hello:
    return convert_fleet.hello_to_proto(
        Hello("p1", Role.PREFILL, "127.0.0.1:1", 1, "m x", "mf", "lf", 1, 16, 4096, 10, 4, 100, ("shm",), "k")
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("member", ""),
        ("member", "a b"),
        ("role", 0),
        ("role", 7),
        ("address", "x" * 257),
        ("epoch", 0),
        ("model", "a\nb"),
        ("model", ""),
        ("model_fingerprint", ""),
        ("layout_fingerprint", ""),
        ("protocol", 0),
        ("block_tokens", 0),
        ("block_bytes", 0),
        ("block_bytes", 1 << 41),
        ("num_blocks", 0),
        ("max_sequences", 0),
        ("max_model_tokens", 0),
        ("transports", ["shm"] * 17),
        ("transports", [""]),
        ("cache_key_id", ""),
    ],
)
def test_a_bad_hello_is_refused_by_field(path: str, value: Any) -> None:
    message = hello()
    spoil(path, value)(message)
    with pytest.raises(InvalidRequest) as caught:
        convert_fleet.hello_from_proto(message)
    assert caught.value.violations[0].field == f"hello.{path}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("prefill_tokens_per_s", math.nan),
        ("step_ms", -1.0),
        ("fetch_bytes_per_s", math.inf),
        ("added_hashes", [1] * (wire.MAX_HASHES + 1)),
        ("removed_hashes", [1] * (wire.MAX_HASHES + 1)),
        ("num_free_blocks", wire.MAX_U32),
        ("oldest_cached_s", math.inf),
        ("oldest_quarantined_s", -1.0),
        ("steps.kernel_s", math.nan),
        ("steps.other_s", -1.0),
        ("fetches.carried", [fleet_pb2.Carried(transport="")]),
        ("fetches.carried", [fleet_pb2.Carried(transport="shm"), fleet_pb2.Carried(transport="shm")]),
        ("fetches.carried", [fleet_pb2.Carried(transport="shm", seconds=math.inf)]),
        ("fetches.carried", [fleet_pb2.Carried(transport=f"t{place}") for place in range(17)]),
    ],
)
def test_a_bad_load_is_refused_by_field(path: str, value: Any) -> None:
    message = convert_fleet.load_to_proto(Load(num_cached_blocks=1))
    spoil(path, value)(message)
    with pytest.raises(InvalidRequest, match=rf"load\.{path}"):
        convert_fleet.load_from_proto(message)


def manifest() -> kvtransfer_pb2.Manifest:
    tokens = (SampledToken(0, 0, 7, TokenLogprobs(7, -0.5)), SampledToken(1, 0, 8))
    return convert_kv.manifest_to_proto(Manifest(AttemptId("r-1", 1), "lf", 20, (BlockRef(0, 1, 0),), tokens))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("attempt.number", 0, "manifest.attempt.number"),
        ("layout_fingerprint", "", "manifest.layout_fingerprint"),
        ("num_tokens", 0, "manifest.num_tokens"),
        ("blocks", [], "manifest.blocks"),
        ("blocks", [kvtransfer_pb2.BlockRef(block=1)], "manifest.blocks.generation"),
        ("blocks", [kvtransfer_pb2.BlockRef(block=1 << 31, generation=1)], "manifest.blocks.block"),
        ("first_tokens", [types_pb2.SampledToken()] * 2, "manifest.first_tokens.choice"),
        ("first_tokens", [types_pb2.SampledToken(index=1 << 31)], "manifest.first_tokens.index"),
        ("first_tokens", [types_pb2.SampledToken(finish=9)], "manifest.first_tokens.finish"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_manifest_is_refused_by_field(path: str, value: Any, field: str) -> None:
    message = manifest()
    spoil(path, value)(message)
    with pytest.raises(InvalidRequest) as caught:
        convert_kv.manifest_from_proto(message)
    assert caught.value.violations[0].field == field


def frame() -> decode_pb2.StepFrame:
    return convert_step.step_frame_to_proto(frame_of([(1, SampledToken(0, 0, 7)), (2, SampledToken(0, 3, 8))]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("streams", [0, 1]),
        ("streams", [1]),
        ("choices", []),
        ("choices", [0, wire.MAX_CHOICES]),
        ("indices", [0, 1, 2]),
        ("indices", [0, wire.MAX_U32]),
        ("token_ids", [1]),
        ("token_ids", [1, 1 << 31]),
        ("finishes", [decode_pb2.RowFinish(row=2, reason=types_pb2.FINISH_REASON_STOP)]),
        ("finishes", [decode_pb2.RowFinish(row=1, reason=types_pb2.FINISH_REASON_STOP)] * 2),
        ("finishes", [decode_pb2.RowFinish(row=1, reason=9)]),  # type: ignore[arg-type]
        ("logprobs", [decode_pb2.RowLogprobs(row=9)]),
        ("logprobs", [decode_pb2.RowLogprobs(logprobs=types_pb2.TokenLogprobs(logprob=math.nan))]),
    ],
)
def test_a_bad_frame_is_refused(path: str, value: Any) -> None:
    message = frame()
    spoil(path, value)(message)
    with pytest.raises(InvalidRequest, match="step"):
        convert_step.step_rows_from_proto(message)


def test_an_empty_frame_has_no_rows() -> None:
    assert convert_step.step_rows_from_proto(decode_pb2.StepFrame()) == ()


def test_a_probability_of_nothing_is_allowed() -> None:
    impossible = TokenLogprobs(3, -math.inf)
    assert convert.logprobs_from_proto(convert.logprobs_to_proto(impossible)) == impossible
