"""Limits and who keeps them."""

import pytest

from common.types.options import ConfigError
from loadtest.bench.goodput import is_good, parse_limits
from tests.bench.records import record


def test_limits_are_milliseconds_by_metric() -> None:
    assert parse_limits(("ttft:1000", "tpot:60.5")) == {"ttft": 1000.0, "tpot": 60.5}
    assert parse_limits(()) == {}


@pytest.mark.parametrize("text", ["ttft", "ttft:", "itl:5", "ttft:x", "ttft:-1", "ttft:nan"])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--goodput"):
        parse_limits((text,))


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ({}, True),
        ({"ttft": 500}, True),
        ({"ttft": 499}, False),
        ({"tpot": 250}, True),
        ({"tpot": 249}, False),
        ({"e2el": 1000}, True),
        ({"e2el": 999}, False),
        ({"ttft": 500, "tpot": 1}, False),
    ],
)
def test_every_limit_must_be_kept(limits: dict[str, float], good: bool) -> None:
    assert is_good(record(0.5, 0.75, 1.0), limits) is good


def test_one_token_keeps_any_limit_per_token() -> None:
    assert is_good(record(0.5), {"tpot": 0})


def test_who_failed_is_not_good() -> None:
    assert not is_good(record(0.5, error="HTTP 503"), {})
    assert not is_good(record(), {})
