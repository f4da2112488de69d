"""A minute's worth in a bucket: never more than it fills, and whoever comes when told to is let in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.rates import Bucket

rates = st.integers(1, 10**6)
many = settings(max_examples=150)


@many
@given(per_min=st.integers(1, 10**6), data=st.data())
def test_no_stretch_of_time_gives_more_than_a_full_bucket_and_what_fills_it(per_min: int, data: st.DataObject) -> None:
    bucket, now, taken = Bucket(per_min, 0.0), 0.0, 0
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.floats(0, 90))
        num = data.draw(st.integers(1, per_min))
        if bucket.take(num, now) is None:
            taken += num
        assert taken <= per_min + now * per_min / 60 + 1e-3


@many
@given(per_min=rates, first=rates, second=rates, at=st.floats(0, 1e6))
def test_who_comes_when_told_to_is_let_in_and_not_before(per_min: int, first: int, second: int, at: float) -> None:
    bucket = Bucket(per_min, at)
    assert bucket.take(first, at) is None, "a full bucket takes anything, and owes the rest"
    wait_s = bucket.take(second, at)
    if wait_s is None:
        return
    early = bucket.take(second, at + wait_s * 0.9)
    assert early is not None
    assert bucket.take(second, at + wait_s * (1 + 1e-6) + 1e-3) is None


@many
@given(per_min=st.integers(1, 10**6), nums=st.lists(st.integers(1, 10**6), max_size=6))
def test_what_is_given_back_is_there_again_and_no_more(per_min: int, nums: list[int]) -> None:
    bucket = Bucket(per_min, 0.0)
    for num in nums:
        if bucket.take(num, 0.0) is None:
            bucket.give_back(num)
    bucket.give_back(10**9)
    assert bucket.take(per_min, 0.0) is None
    assert bucket.take(1, 0.0) is not None


def test_a_refusal_takes_nothing() -> None:
    bucket = Bucket(60, 0.0)
    assert bucket.take(60, 0.0) is None
    assert [bucket.take(10, 5.0) for _ in range(3)] == [pytest.approx(5.0)] * 3
    assert bucket.take(5, 5.0) is None


def test_a_clock_that_stands_or_goes_back_fills_nothing() -> None:
    bucket = Bucket(60, 100.0)
    assert bucket.take(60, 100.0) is None
    for now in (100.0, 50.0, 100.0):
        assert bucket.take(1, now) is not None
    assert bucket.take(1, 101.0) is None
    assert bucket.take(1, 101.0) is not None


def test_a_debt_is_worked_off_before_anything_is_taken() -> None:
    bucket = Bucket(60, 0.0)
    bucket.give_back(-120)
    assert bucket.take(1, 0.0) == pytest.approx(61.0)
    assert bucket.take(1, 60.5) == pytest.approx(0.5)
    assert bucket.take(1, 61.0) is None


def test_one_a_minute_is_one_a_minute() -> None:
    bucket = Bucket(1, 0.0)
    let_in = [now for now in range(181) if bucket.take(1, float(now)) is None]
    assert let_in == [0, 60, 120, 180]
