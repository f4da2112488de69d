"""What is left of a call's time, on the wire and for the next leg."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.net.deadlines import NETWORK_MARGIN_S, from_ms, next_leg_s, remaining_s, to_ms
from common.types.errors import DeadlinePassed


class Context:
    """A call with so much time left."""

    def __init__(self, left: float | None) -> None:
        self.left = left

    def time_remaining(self) -> float | None:
        return self.left


@pytest.mark.parametrize(
    ("left", "expected"), [(None, 60.0), (5.0, 5.0), (100.0, 60.0), (0.0, 0.0), (-3.0, 0.0), (1e18, 60.0)]
)
def test_the_client_s_deadline_counts_up_to_the_default(left: float | None, expected: float) -> None:
    context: Any = Context(left)
    assert remaining_s(context, 60.0) == expected


def test_each_leg_gets_a_little_less() -> None:
    assert next_leg_s(5.0, "prefill") == 5.0 - NETWORK_MARGIN_S
    assert next_leg_s(5.0, "prefill", limit_s=2.0) == 2.0
    assert next_leg_s(5.0, "prefill", margin_s=1.0) == 4.0


@pytest.mark.parametrize("left", [0.0, NETWORK_MARGIN_S, -1.0])
def test_no_leg_begins_without_time(left: float) -> None:
    with pytest.raises(DeadlinePassed, match="prefill"):
        next_leg_s(left, "prefill")


@given(st.floats(0.001, 1e6))
def test_the_wire_never_grants_more_than_was_left(seconds: float) -> None:
    assert from_ms(to_ms(seconds), "decode", 1e9) <= seconds


def test_what_was_over_before_it_came_is_refused() -> None:
    with pytest.raises(DeadlinePassed, match="decode"):
        from_ms(to_ms(0.0004), "decode", 60.0)
    assert to_ms(-1.0) == 0
    assert from_ms(1 << 62, "decode", 60.0) == 60.0
