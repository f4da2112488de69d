"""Distributions of lengths: what their texts mean, and that they draw what they say."""

from random import Random
from statistics import mean, median, pstdev

import pytest

from common.types.options import ConfigError
from loadtest.bench.lengths import parse_lengths


def drawn(text: str, contents: str = "", count: int = 4000) -> list[int]:
    lengths = parse_lengths(text, "--input-tokens", lambda _: contents)
    random = Random(1)
    return [lengths.draw(random) for _ in range(count)]


def test_a_number_is_always_that() -> None:
    assert set(drawn("512")) == {512}


def test_uniform_reaches_both_ends_and_nothing_beyond() -> None:
    assert set(drawn("uniform:3:6")) == {3, 4, 5, 6}


def test_normal_has_its_mean_and_deviation() -> None:
    values = drawn("normal:1000:100")
    assert mean(values) == pytest.approx(1000, rel=0.01)
    assert pstdev(values) == pytest.approx(100, rel=0.05)


def test_lognormal_has_its_median_and_a_long_tail() -> None:
    values = drawn("lognormal:500:1")
    assert median(values) == pytest.approx(500, rel=0.06)
    assert mean(values) > 1.4 * median(values)


def test_no_length_is_below_one() -> None:
    assert min(drawn("normal:2:50")) == 1


def test_a_file_gives_its_own_lengths() -> None:
    assert set(drawn("file:x.txt", "7\n\n9\n")) == {7, 9}


@pytest.mark.parametrize(
    "text", ["", "0", "many", "uniform:5", "uniform:9:5", "normal:5:x", "poisson:3:4", "1:2", "lognormal:0:1", "nan"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--input-tokens"):
        drawn(text)


@pytest.mark.parametrize("contents", ["", "5\nfive\n", "0\n"])
def test_files_without_lengths_are_refused(contents: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.txt"):
        drawn("file:x.txt", contents)
