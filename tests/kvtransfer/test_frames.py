"""Requests and frames of the tcp transport: bounds before arithmetic, and nothing but the expected frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from kvtransfer.transports.frames import (
    ENTRY,
    FRAME,
    MAX_ENTRIES,
    MAX_REQUEST_ID_BYTES,
    REQUEST,
    REQUEST_MAGIC,
    Kind,
    RequestHead,
    attempt_key,
    frame_status,
    pack_frame,
    pack_probe,
    pack_request,
)
from kvtransfer.transports.hello import Malformed, Refusal

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@given(st.text(max_size=60), u32, st.lists(st.tuples(u32, u64), min_size=1, max_size=20))
def test_a_request_says_whose_blocks_and_which(request_id: str, number: int, entries: list[tuple[int, int]]) -> None:
    attempt = AttemptId(request_id, number)
    data = pack_request(attempt, [Pair(BlockRef(block, generation, 0), 0) for block, generation in entries])
    head = RequestHead.unpack(data[: REQUEST.size])
    assert head.kind is Kind.BLOCKS
    assert head.num_bytes == len(data) - REQUEST.size
    assert head.body(data[REQUEST.size :]) == (attempt, entries)


def test_a_probe_has_no_body() -> None:
    head = RequestHead.unpack(pack_probe(7))
    assert (head.kind, head.num_entries, head.num_bytes) == (Kind.PROBE, 7, 0)


@pytest.mark.parametrize(
    "fields",
    [
        (b"HTTP", 1, 0, 0, 1),
        (REQUEST_MAGIC, 0, 0, 0, 1),
        (REQUEST_MAGIC, 3, 0, 0, 1),
        (REQUEST_MAGIC, 1, MAX_REQUEST_ID_BYTES + 1, 0, 1),
        (REQUEST_MAGIC, 1, 0, 0, 0),
        (REQUEST_MAGIC, 1, 0, 0, MAX_ENTRIES + 1),
        (REQUEST_MAGIC, 2, 0, 0, 2**32 - 1),
    ],
)
def test_a_request_beyond_its_bounds_is_malformed(fields: tuple[bytes, int, int, int, int]) -> None:
    with pytest.raises(Malformed):
        RequestHead.unpack(REQUEST.pack(*fields))


@given(st.binary(min_size=REQUEST.size, max_size=REQUEST.size))
def test_rubbish_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        RequestHead.unpack(data)


def test_a_request_id_that_is_not_text_is_malformed() -> None:
    head = RequestHead(Kind.BLOCKS, 2, 1, 1)
    with pytest.raises(Malformed):
        head.body(b"\xff\xfe" + ENTRY.pack(1, 1))


def test_a_request_id_too_long_to_travel_is_a_bug_here() -> None:
    for attempt in (AttemptId("x" * 257, 1), AttemptId("x", 2**32), AttemptId("x", -1)):
        with pytest.raises(ValueError, match="longer"):
            pack_request(attempt, [])


KEY = attempt_key(AttemptId("r", 1))


def test_the_expected_frame_has_status_0() -> None:
    assert frame_status(pack_frame(KEY, 3, 4, 4096), KEY, 3, 4, 4096) == 0
    for refusal in Refusal:
        assert frame_status(pack_frame(KEY, 3, 4, 4096, refusal), KEY, 3, 4, 4096) == refusal


@given(st.integers(0, FRAME.size - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_the_expected_frame(place: int, change: int) -> None:
    packed = bytearray(pack_frame(KEY, 3, 4, 4096))
    packed[place] ^= change
    padding = place in (5, 6, 7, 20, 21, 22, 23)
    try:
        assert (frame_status(packed, KEY, 3, 4, 4096) == 0) == padding
    except Malformed:
        assert not padding


@pytest.mark.parametrize(
    "other",
    [(KEY + 1, 3, 4, 4096), (KEY, 2, 4, 4096), (KEY, 3, 5, 4096), (KEY, 3, 4, 4095), (KEY, 3, 4, 2**64 - 1)],
)
def test_another_attempts_blocks_generations_or_lengths_frame_is_malformed(other: tuple[int, int, int, int]) -> None:
    with pytest.raises(Malformed):
        frame_status(pack_frame(*other), KEY, 3, 4, 4096)


def test_attempts_of_one_request_have_different_keys() -> None:
    keys = {attempt_key(AttemptId(id, number)) for id in ("r-1", "r-2") for number in range(50)}
    assert len(keys) == 100
