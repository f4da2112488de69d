"""How texts become values, and which values are refused."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types.config import CONFIGS
from common.types.options import ConfigError, Option, about, format_size, is_address, options, parse_size


def option(kind: type, **more: Any) -> Option:
    return Option("x", kind, None, **more)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (int, "12", 12),
        (int, "-1", -1),
        (int, 12, 12),
        (float, "0.5", 0.5),
        (float, 2, 2.0),
        (bool, "yes", True),
        (bool, "OFF", False),
        (bool, True, True),
        (str, "a b", "a b"),
        (tuple, "a, b,", ("a", "b")),
        (tuple, ["a", "b"], ("a", "b")),
        (tuple, "", ()),
    ],
)
def test_values(kind: type, raw: object, value: object) -> None:
    assert option(kind).parse(raw, "--x") == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (int, "1.5"),
        (int, True),
        (int, 1.0),
        (int, {}),
        (int, ""),
        (float, "much"),
        (float, True),
        (bool, "maybe"),
        (bool, 1),
        (str, 5),
        (tuple, [1]),
        (tuple, 5),
    ],
)
def test_no_values(kind: type, raw: object) -> None:
    with pytest.raises(ConfigError, match="--x is"):
        option(kind).parse(raw, "--x")


def test_choices_hold_for_every_part() -> None:
    assert option(tuple, choices=("a", "b")).parse("b,a", "--x") == ("b", "a")
    with pytest.raises(ConfigError, match="Choose one of a, b"):
        option(tuple, choices=("a", "b")).parse("a,c", "--x")


def test_least() -> None:
    assert option(int, least=1).parse("1", "--x") == 1
    with pytest.raises(ConfigError, match="at least 1"):
        option(int, least=1).parse("0", "--x")


def test_most() -> None:
    assert option(float, most=1).parse("1", "--x") == 1
    with pytest.raises(ConfigError, match="at most 1"):
        option(float, most=1).parse("1.5", "--x")


def test_devices() -> None:
    assert option(str, device=True).parse("cuda:1", "--device") == "cuda:1"
    assert option(tuple, device=True).parse("cuda:1, cpu", "--device") == ("cuda:1", "cpu")
    with pytest.raises(ConfigError, match="Choose cpu, cuda, or one device such as cuda:1"):
        option(str, device=True).parse("gpu", "--device")


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("2GiB", 2**31), ("512 mib", 2**29), ("1.5KiB", 1536), ("1gb", 10**9), ("4096", 4096), ("auto", 0), ("7B", 7)],
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert parse_size(text) == num_bytes
    assert option(int, size=True).parse(text, "--x") == num_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "2 quarts", "1GiB2", "1e9"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match="512MiB"):
        parse_size(text)


@given(st.integers(0, 2**50))
def test_a_size_is_read_back_as_written(num_bytes: int) -> None:
    assert parse_size(format_size(num_bytes)) == num_bytes


@pytest.mark.parametrize("text", ["localhost:1", "127.0.0.1:0", "[::1]:50051", "a.b-c:65535"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["localhost", ":1", "a:", "a:b", "a:65536", "::1", "::1:50051", "a:-1", "a:١"])
def test_no_addresses(text: str) -> None:
    assert not is_address(text)


def test_an_address_may_be_left_empty() -> None:
    assert option(str, address=True).parse("", "--x") == ""
    with pytest.raises(ConfigError, match="HOST:PORT"):
        option(str, address=True).parse("here", "--x")


def test_a_type_nobody_can_type_is_a_bug() -> None:
    @dataclass(frozen=True)
    class Strange:
        x: dict[str, int] = field(default_factory=dict, metadata=about("strange"))

    with pytest.raises(TypeError, match=r"Strange\.x"):
        options(Strange)


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_setting_is_explained_and_its_default_allowed(cls: type) -> None:
    for each in options(cls):
        assert each.help or each.group, each.name
        if not each.required:
            assert each.parse(each.default, each.name) == each.default


def test_one_name_means_one_thing() -> None:
    kinds: dict[str, set[tuple[type, bool]]] = {}
    for cls in CONFIGS:
        for each in options(cls):
            kinds.setdefault(each.name, set()).add((each.kind, each.secret))
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}
