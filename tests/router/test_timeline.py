"""Where the time of a request went."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.timeline import Timeline


def test_a_hand_off() -> None:
    line = Timeline(10.0)
    line.started(11.0)
    assert line.token(13.0)
    line.joined(13.5)
    assert not line.token(14.0)
    line.token(18.0)
    times = line.timings(18.25)
    assert (times.queue_ms, times.prefill_ms, times.handoff_ms, times.decode_ms) == (1000, 2000, 500, 4500)
    assert (times.ttft_ms, times.total_ms) == (3000, 8250)


def test_the_first_time_of_each_thing_counts() -> None:
    line = Timeline(0.0)
    line.started(1.0)
    line.token(2.0)
    line.started(5.0)
    line.joined(6.0)
    line.joined(9.0)
    line.token(10.0)
    times = line.timings(10.0)
    assert (times.queue_ms, times.prefill_ms, times.handoff_ms, times.decode_ms) == (1000, 1000, 4000, 4000)


@pytest.mark.parametrize("finished", [True, False])
def test_what_did_not_happen_takes_no_time(finished: bool) -> None:
    line = Timeline(0.0)
    if finished:
        line.token(2.0)
    times = line.timings(3.0)
    assert times.handoff_ms == 0
    assert times.total_ms == 3000
    assert times.ttft_ms == (2000 if finished else 3000)


MOMENTS = st.lists(st.tuples(st.sampled_from(["started", "token", "joined"]), st.floats(0, 10)), max_size=8)


@given(MOMENTS)
def test_the_parts_never_overlap(moments: list[tuple[str, float]]) -> None:
    line, now = Timeline(0.0), 0.0
    for name, wait in moments:
        now += wait
        getattr(line, name)(now)
    times = line.timings(now)
    parts = (times.queue_ms, times.prefill_ms, times.handoff_ms, times.decode_ms)
    assert all(part >= 0 for part in parts)
    assert sum(parts) <= times.total_ms + 1e-6
    assert times.ttft_ms <= times.total_ms + 1e-6
