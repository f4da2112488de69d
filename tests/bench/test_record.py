"""What follows from the times of one request."""

import pytest

from loadtest.bench.record import Record
from tests.bench.records import record


def test_times_of_an_answer() -> None:
    made = record(1.5, 1.6, 1.8, start=1.0)
    assert made.ok
    assert made.ttft_s == pytest.approx(0.5)
    assert made.latency_s == pytest.approx(0.8)
    assert made.itls_s == pytest.approx([0.1, 0.2])
    assert made.tpot_s == pytest.approx(0.15)


def test_tokens_that_came_together_share_the_time_after_the_first() -> None:
    assert record(1.5, 1.8, start=1.0, out=7).tpot_s == pytest.approx(0.05)


def test_one_token_has_no_time_per_token() -> None:
    assert record(1.5, start=1.0).tpot_s is None
    assert record(1.5, start=1.0).itls_s == []


def test_how_late_it_was_sent() -> None:
    assert Record(2.0, 1, start_s=2.5).queue_s == 0.5
    assert Record(2.0, 1, start_s=1.9).queue_s == 0.0


@pytest.mark.parametrize(("made", "ok"), [(record(1.0), True), (record(), False), (record(1.0, error="x"), False)])
def test_an_answer_is_well_with_tokens_and_without_an_error(made: Record, ok: bool) -> None:
    assert made.ok is ok
