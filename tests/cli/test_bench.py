"""The verb: its limits in two spellings, and its failures in a sentence."""

import pytest

from baton.cli.bench import joined
from tests.cli.command import baton


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--goodput", "ttft:1000", "tpot:60"], ["--goodput=ttft:1000,tpot:60"]),
        (["--goodput=ttft:1000", "tpot:60", "--seed", "1"], ["--goodput=ttft:1000,tpot:60", "--seed", "1"]),
        (["--goodput", "ttft:1,tpot:2"], ["--goodput", "ttft:1,tpot:2"]),
        (["--goodput", "ttft:1", "127.0.0.1:5"], ["--goodput=ttft:1", "127.0.0.1:5"]),
        (["--goodput", "e2el:9.5", "localhost:5"], ["--goodput=e2el:9.5", "localhost:5"]),
        (["--goodput", "router:5"], ["--goodput", "router:5"]),
        (["--goodput", "ttft:1", "itl:5"], ["--goodput=ttft:1,itl:5"]),
        (["--goodput", "ttft:1", "--goodput", "tpot:2"], ["--goodput=ttft:1", "--goodput=tpot:2"]),
        (["--rate", "1", "ttft:1"], ["--rate", "1", "ttft:1"]),
        ([], []),
        (["http://x:1", "--rate", "1"], ["http://x:1", "--rate", "1"]),
    ],
)
def test_limits_may_be_apart(given: list[str], read: list[str]) -> None:
    assert joined(given) == read


async def test_nobody_there_is_one_sentence() -> None:
    ran = await baton("bench", "127.0.0.1:1")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "cannot be reached" in ran.err


async def test_a_mistake_is_told_with_a_way_out() -> None:
    ran = await baton("bench", "--rate", "fast")
    assert ran.code == 2
    assert "--rate is 'fast'" in ran.err
