"""A member's line in `baton pool`: its state in a word, its load, and how long ago it was heard of."""

from dataclasses import replace

import pytest

from baton.cli.pool import HEAD, row, run, state
from baton.client import Member
from common.types.ids import Role
from common.types.member import Hello, Load
from common.types.options import ConfigError

HELLO = Hello(
    "decode-0", Role.DECODE, "10.0.0.7:50053", 7, "m", "f", "l", 1, 16, 4096, 64, 32, 8192, ("shm",), "k"
)  # fmt: skip
LOAD = Load(num_running=3, num_waiting=2, num_free_blocks=40, num_cached_blocks=9)


def member(load: Load = LOAD, *, draining: bool = False) -> Member:
    return Member(hello=HELLO, load=load, draining=draining, num_attempts=5, silence_ms=120, num_hashes=0)


def test_a_line_has_a_cell_for_each_title() -> None:
    assert dict(zip(HEAD, row(member()), strict=True)) == {
        "member": "decode-0",
        "role": "decode",
        "state": "up",
        "attempts": "5",
        "running": "3",
        "waiting": "2",
        "blocks free": "40/64",
        "cached": "9",
        "heard of": "120 ms ago",
        "address": "10.0.0.7:50053",
    }


@pytest.mark.parametrize(
    ("asked", "draining", "drained", "told"),
    [
        (False, False, False, "up"),
        (True, False, False, "draining"),
        (False, True, False, "draining"),
        (True, True, False, "draining"),
        (True, True, True, "drained"),
        (False, False, True, "drained"),
    ],
)
def test_a_state_is_what_router_and_worker_say_of_it(asked: bool, draining: bool, drained: bool, told: str) -> None:
    assert state(member(replace(LOAD, draining=draining, drained=drained), draining=asked)) == told


@pytest.mark.parametrize("action", ["drain", "resume"])
def test_steering_needs_a_name(action: str) -> None:
    with pytest.raises(ConfigError, match=f"no member to {action}"):
        run([action])


def test_there_is_nothing_else_to_do() -> None:
    with pytest.raises(ConfigError, match="kick"):
        run(["kick", "decode-0"])
