"""Bytes written by hand are those that the generated class writes, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.v1 import inference_pb2
from common.net.convert_delta import plain_delta_bytes
from common.net.wire import MAX_TOKEN_ID

EDGES = (0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000, MAX_TOKEN_ID)
IDS = st.sampled_from(EDGES) | st.integers(0, MAX_TOKEN_ID)


def generated(choice: int, text: str, token_ids: tuple[int, ...]) -> bytes:
    delta = inference_pb2.Delta(choice=choice, text=text, token_ids=token_ids)
    return inference_pb2.GenerateResponse(delta=delta).SerializeToString()


@given(st.integers(0, 127), st.text(max_size=200), st.lists(IDS, max_size=40).map(tuple))
def test_any_delta(choice: int, text: str, token_ids: tuple[int, ...]) -> None:
    assert plain_delta_bytes(choice, text, token_ids) == generated(choice, text, token_ids)


@pytest.mark.parametrize("token_id", EDGES)
@pytest.mark.parametrize("text", ["", "a", "é" * 64, "x" * 127, "x" * 128, "😀" * 5000])
def test_lengths_that_take_another_byte(token_id: int, text: str) -> None:
    for choice in (0, 1, 127):
        assert plain_delta_bytes(choice, text, (token_id,)) == generated(choice, text, (token_id,))


def test_an_empty_delta_is_still_a_delta() -> None:
    read = inference_pb2.GenerateResponse.FromString(plain_delta_bytes(0, "", ()))
    assert read.WhichOneof("event") == "delta"
