"""The address a worker names when it listens on all of its own."""

import pytest

from common.net.own_address import advertised
from common.types.errors import StartupError


def test_what_is_said_stands() -> None:
    assert advertised("0.0.0.0:7000", "gpu-1:7000", ["127.0.0.1:1"]) == "gpu-1:7000"
    assert advertised("10.0.0.5:7000", "", ["127.0.0.1:1"]) == ""


def test_the_way_to_the_first_peer_that_can_be_found_tells() -> None:
    assert advertised("0.0.0.0:7000", "", ["no-such-host.invalid:1", "127.0.0.1:50052"]) == "127.0.0.1:7000"
    assert advertised("0.0.0.0:0", "", ["localhost:50052"]).endswith(":0")


def test_no_peer_to_be_found_is_a_reason_not_to_start() -> None:
    with pytest.raises(StartupError, match="listens on every address"):
        advertised("0.0.0.0:7000", "", ["no-such-host.invalid:1"])
