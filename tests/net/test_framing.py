"""Messages come out of a stream as they went in, however it is cut; what announces too much is refused."""

from itertools import pairwise
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.net.framing import TooLong, Unpacker

PLAIN, TAGGED = Struct("<I"), Struct("<IIB3x")
MAX_BYTES = 300


def packed(bodies: list[bytes]) -> bytes:
    return b"".join(PLAIN.pack(len(body)) + body for body in bodies)


def fed(unpacker: Unpacker, *pieces: bytes) -> list[bytes]:
    return [body for piece in pieces for _, body in unpacker.feed(piece)]


@given(st.lists(st.binary(max_size=MAX_BYTES), max_size=6), st.lists(st.integers(0, 2000), max_size=8))
def test_a_stream_may_be_cut_anywhere(bodies: list[bytes], cuts: list[int]) -> None:
    data = packed(bodies)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert fed(Unpacker(PLAIN, MAX_BYTES), *pieces) == bodies


def test_byte_by_byte() -> None:
    data = packed([b"one", b"", b"three"])
    pieces = [data[place : place + 1] for place in range(len(data))]
    assert fed(Unpacker(PLAIN, MAX_BYTES), *pieces) == [b"one", b"", b"three"]


def test_a_header_may_say_more_than_a_length() -> None:
    data = TAGGED.pack(2, 77, 5) + b"ab" + TAGGED.pack(0, 78, 6)
    assert list(Unpacker(TAGGED, MAX_BYTES).feed(data)) == [((2, 77, 5), b"ab"), ((0, 78, 6), b"")]


def test_a_message_of_the_greatest_length_passes_and_one_byte_more_does_not() -> None:
    assert fed(Unpacker(PLAIN, MAX_BYTES), packed([bytes(MAX_BYTES)])) == [bytes(MAX_BYTES)]
    with pytest.raises(TooLong):
        fed(Unpacker(PLAIN, MAX_BYTES), packed([b"first"]) + PLAIN.pack(MAX_BYTES + 1))


def test_it_is_refused_before_it_has_come() -> None:
    unpacker = Unpacker(PLAIN, MAX_BYTES)
    assert fed(unpacker, PLAIN.pack(MAX_BYTES + 1)[:3]) == []
    with pytest.raises(TooLong):
        fed(unpacker, PLAIN.pack(MAX_BYTES + 1)[3:])


def test_the_bound_may_change_between_two_messages() -> None:
    unpacker = Unpacker(PLAIN, 4)
    got = []
    for _, body in unpacker.feed(packed([b"key", b"a long message"])):
        got.append(body)
        unpacker.max_bytes = MAX_BYTES
    assert got == [b"key", b"a long message"]
