"""The handshake's bytes: what is let in, what is refused, and that rubbish is only ever rubbish."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.transports.hello import HELLO, WELCOME, Doorkeeper, Hello, Malformed, Refusal, Welcome, refusal_text

DOORKEEPER = Doorkeeper(5, "layout", 10, 4096)
HELLO_MADE = Hello(5, 6, "layout", 4096, DOORKEEPER.ticket(6))


def test_who_shows_everything_right_is_let_in() -> None:
    assert DOORKEEPER.admit(HELLO_MADE.pack()) == Welcome(0, 10, 4096, 5)


@pytest.mark.parametrize(
    ("hello", "refusal"),
    [
        (replace(HELLO_MADE, ticket=bytes(32)), Refusal.TICKET),
        (replace(HELLO_MADE, ticket=b""), Refusal.TICKET),
        (replace(HELLO_MADE, fetcher_epoch=7), Refusal.TICKET),
        (replace(HELLO_MADE, lender_epoch=4), Refusal.EPOCH),
        (replace(HELLO_MADE, layout="other"), Refusal.LAYOUT),
        (replace(HELLO_MADE, block_bytes=4095), Refusal.LAYOUT),
        (replace(HELLO_MADE, lender_epoch=4, layout="other", ticket=bytes(32)), Refusal.TICKET),
    ],
)
def test_who_does_not_is_refused_with_a_reason(hello: Hello, refusal: Refusal) -> None:
    assert DOORKEEPER.admit(hello.pack()) == Welcome(refusal)


def test_a_ticket_belongs_to_one_lender_and_one_fetcher() -> None:
    other = Doorkeeper(5, "layout", 10, 4096)
    assert len({DOORKEEPER.ticket(6), DOORKEEPER.ticket(7), other.ticket(6)}) == 3
    assert DOORKEEPER.ticket(6) == DOORKEEPER.ticket(6)
    assert other.admit(HELLO_MADE.pack()) == Welcome(Refusal.TICKET)


def test_another_version_or_magic_is_refused() -> None:
    packed = HELLO_MADE.pack()
    later = packed[:8] + struct.pack("<H", 3) + packed[10:]
    assert DOORKEEPER.admit(later) == Welcome(Refusal.VERSION)
    assert DOORKEEPER.admit(b"GET / HT" + packed[8:]) == Welcome(Refusal.MALFORMED)
    assert DOORKEEPER.admit(packed + b"x") == Welcome(Refusal.MALFORMED)


@given(st.binary(max_size=2 * HELLO.size))
def test_no_rubbish_is_let_in(data: bytes) -> None:
    assert DOORKEEPER.admit(data).status


@given(st.integers(0, HELLO.size - 1), st.integers(1, 255))
def test_no_hello_with_a_changed_byte_is_let_in_but_in_its_padding(place: int, change: int) -> None:
    packed = bytearray(HELLO_MADE.pack())
    packed[place] ^= change
    assert bool(DOORKEEPER.admit(bytes(packed)).status) == (place not in range(10, 16))


def test_answers_survive_the_wire() -> None:
    for welcome in (Welcome(0, 2**32 - 1, 2**64 - 1, 2**63), Welcome(Refusal.BUSY)):
        assert Welcome.unpack(welcome.pack()) == welcome


@pytest.mark.parametrize("data", [b"", bytes(WELCOME.size), Welcome(0).pack()[:-1], Welcome(0).pack() + b"x"])
def test_an_answer_of_another_protocol_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Welcome.unpack(data)


def test_a_later_lender_may_refuse_but_not_welcome() -> None:
    refused, welcomed = bytearray(Welcome(Refusal.VERSION).pack()), bytearray(Welcome(0, 1, 1, 1).pack())
    refused[8] = welcomed[8] = 9
    assert Welcome.unpack(bytes(refused)).status == Refusal.VERSION
    with pytest.raises(Malformed):
        Welcome.unpack(bytes(welcomed))


def test_every_refusal_has_a_text() -> None:
    assert len({refusal_text(refusal) for refusal in Refusal}) == len(Refusal)
    assert len(Refusal.__members__) == len(Refusal), "each has a number of its own"
    assert "unknown" in refusal_text(250)
