"""Every field survives the wire, and no bytes a stranger can send do more than raise InvalidRequest."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.v1 import decode_pb2, fleet_pb2, kvtransfer_pb2, types_pb2
from common.net import convert, convert_fleet, convert_kv, convert_sampling, convert_step
from common.types.errors import InvalidRequest
from common.types.frame import frame_of
from common.types.ids import Role
from common.types.sampling import FinishReason
from tests.net import samples

Case = tuple[st.SearchStrategy[Any], Callable[[Any], Any], Callable[[Any], Any], type[Message]]
CASES: dict[str, Case] = {
    "attempt id": (
        samples.attempt_ids,
        convert.attempt_id_to_proto,
        convert.attempt_id_from_proto,
        types_pb2.AttemptId,
    ),
    "attempt": (samples.attempts(), convert.attempt_to_proto, convert.attempt_from_proto, types_pb2.Attempt),
    "sampling": (
        samples.samplings(),
        convert_sampling.sampling_to_proto,
        convert_sampling.sampling_from_proto,
        types_pb2.ResolvedSampling,
    ),
    "token": (
        samples.sampled_tokens,
        convert.sampled_token_to_proto,
        convert.sampled_token_from_proto,
        types_pb2.SampledToken,
    ),
    "logprobs": (samples.logprobs, convert.logprobs_to_proto, convert.logprobs_from_proto, types_pb2.TokenLogprobs),
    "manifest": (
        samples.manifests,
        convert_kv.manifest_to_proto,
        convert_kv.manifest_from_proto,
        kvtransfer_pb2.Manifest,
    ),
    "hello": (samples.hellos, convert_fleet.hello_to_proto, convert_fleet.hello_from_proto, fleet_pb2.Hello),
    "load": (samples.loads, convert_fleet.load_to_proto, convert_fleet.load_from_proto, fleet_pb2.Load),
    "step": (
        samples.rows,
        lambda rows: convert_step.step_frame_to_proto(frame_of(rows)),
        convert_step.step_rows_from_proto,
        decode_pb2.StepFrame,
    ),
}
quick = settings(max_examples=60)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.mark.parametrize("name", CASES)
@quick
@given(data=st.data())
def test_values_survive_the_wire(name: str, data: st.DataObject) -> None:
    values, to_proto, from_proto, message_type = CASES[name]
    value = data.draw(values)
    received = message_type.FromString(to_proto(value).SerializeToString())
    assert from_proto(received) == value


@pytest.mark.parametrize("name", CASES)
@quick
@given(data=st.data())
def test_spoilt_bytes_raise_nothing_but_invalid_request(name: str, data: st.DataObject) -> None:
    values, to_proto, from_proto, message_type = CASES[name]
    sent = bytearray(to_proto(data.draw(values)).SerializeToString())
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)):
        if place < len(sent):
            sent[place] = byte
    received = message_type()
    try:
        received.ParseFromString(bytes(sent))
    except DecodeError:
        return
    with contextlib.suppress(InvalidRequest):
        value = from_proto(received)
        assert from_proto(to_proto(value)) == value


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("load", "token", "logprobs", "step")])
def test_an_empty_message_is_refused(name: str) -> None:
    _, _, from_proto, message_type = CASES[name]
    with pytest.raises(InvalidRequest):
        from_proto(message_type())


def fields_set(message: Message, seen: set[str]) -> None:
    for field, value in message.ListFields():
        seen.add(field.full_name)
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if field.is_repeated else [value]:
                fields_set(inner, seen)


def fields_of(descriptor: Any, known: set[str]) -> None:
    for field in descriptor.fields:
        if field.full_name not in known:
            known.add(field.full_name)
            if field.message_type is not None and not field.message_type.GetOptions().map_entry:
                fields_of(field.message_type, known)


@pytest.mark.parametrize("name", CASES)
def test_no_field_is_forgotten(name: str) -> None:
    values, to_proto, _, message_type = CASES[name]
    known: set[str] = set()
    fields_of(message_type.DESCRIPTOR, known)
    seen: set[str] = set()

    @settings(max_examples=200)
    @given(value=values)
    def look(value: Any) -> None:
        fields_set(to_proto(value), seen)

    look()
    assert seen == known


def test_every_role_and_finish_reason_has_a_number_of_its_own() -> None:
    assert {convert.role_from_proto(convert.role_to_proto(role)) for role in Role} == set(Role)
    assert sorted(convert.role_to_proto(role) for role in Role) == sorted(types_pb2.Role.values())[1:]
    finishes = [None, *FinishReason]
    assert [convert.finish_from_proto(convert.finish_to_proto(finish)) for finish in finishes] == finishes
    assert len({convert.finish_to_proto(finish) for finish in finishes}) == len(types_pb2.FinishReason.values())
    for number in (-1, 99):
        with pytest.raises(InvalidRequest):
            convert.finish_from_proto(number)
        with pytest.raises(InvalidRequest):
            convert.role_from_proto(number)
