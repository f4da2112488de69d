"""Candidates of a launch, the table put back as it was, and what is printed of times that a stand-in gives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from common.kernels.launch import BY_CAPABILITY, COMMON, Launch, launch_of, refusals
from loadtest.gpu import sweep as sweeping
from loadtest.gpu.sweep import ROUNDS, candidates, launched_as, sweep

META = torch.device("meta")
FAILURES = (RuntimeError, (*refusals(), RuntimeError)[0])  # Triton's own is neither that nor a ValueError
OWN = Launch(tile=64, warps=4, stages=3, resident=2)


def test_the_tables_own_row_comes_first_and_once() -> None:
    found = candidates(OWN, tile=(32, 64), stages=(3, 4))
    assert found[0] == OWN
    assert len(found) == len(set(found)) == 4
    assert {(launch.tile, launch.stages) for launch in found} == {(32, 3), (32, 4), (64, 3), (64, 4)}
    assert all((launch.warps, launch.resident) == (4, 2) for launch in found)


def test_an_own_row_outside_the_choices_is_kept() -> None:
    assert candidates(OWN, tile=(16,)) == [OWN, Launch(tile=16, warps=4, stages=3, resident=2)]


def test_without_choices_there_is_the_own_row() -> None:
    assert candidates(OWN) == [OWN]


@pytest.mark.parametrize("kernel", ["decode_attention", "silu_mul"])
def test_a_launch_lasts_as_long_as_it_is_tried(kernel: str) -> None:
    before = {capability: dict(rows) for capability, rows in BY_CAPABILITY.items()}
    tried = Launch(tile=7, warps=1)
    with launched_as(kernel, META, tried):
        assert launch_of(kernel, META) == tried
    assert before == BY_CAPABILITY


def test_a_launch_that_fails_is_taken_back_too() -> None:
    before = launch_of("decode_attention", META)
    with pytest.raises(RuntimeError), launched_as("decode_attention", META, OWN):
        raise RuntimeError("out of shared memory")
    assert launch_of("decode_attention", META) == before


def test_a_device_without_rows_gets_one_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "capability", lambda device: (12, 0))
    with launched_as("silu_mul", META, OWN):
        assert BY_CAPABILITY[(12, 0)]["silu_mul"] == OWN
    assert "silu_mul" not in BY_CAPABILITY.pop((12, 0))


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[float]]:
    """Seconds by tile, one a round; the kernel is a name, and nothing runs."""
    scripted: dict[int, list[float]] = {}

    def seconds(work: Callable[[], Any], samples: int) -> float:
        tile = launch_of("silu_mul", META).tile
        if not scripted[tile]:
            raise FAILURES[tile % 2]("no room\nfor so many programs")
        return scripted[tile].pop(0)

    monkeypatch.setattr(sweeping, "graphed", lambda work: work)
    monkeypatch.setattr(sweeping, "seconds", seconds)
    return scripted


def test_the_fastest_median_is_told_first(times: dict[int, list[float]], capsys: pytest.CaptureFixture[str]) -> None:
    own = COMMON["silu_mul"]
    times |= {own.tile: [1e-6, 3e-6, 3e-6], 16: [2e-6, 5e-6, 2e-6]}
    made: list[int] = []

    def make() -> Callable[[], object]:
        made.append(launch_of("silu_mul", META).tile)
        return lambda: None

    sweep("silu_mul", META, candidates(own, tile=(16,)), make)
    first, second = capsys.readouterr().out.splitlines()
    assert "2.0 us" in first
    assert "tile=16" in first
    assert "<-" not in first
    assert "3.0 us" in second
    assert second.endswith("<- the table's")
    assert made == [own.tile, 16] * ROUNDS, "in turns, and prepared anew for each"


@pytest.mark.parametrize("tile", [16, 17])
def test_a_launch_that_does_not_fit_is_a_line_and_tried_no_more(
    tile: int, times: dict[int, list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    own = COMMON["silu_mul"]
    times |= {own.tile: [1e-6] * ROUNDS, tile: []}
    sweep("silu_mul", META, candidates(own, tile=(tile,)), lambda: lambda: None)
    failed, told = capsys.readouterr().out.splitlines()
    assert failed.endswith(": no room")
    assert f"tile={tile}" in failed
    assert "1.0 us" in told


def test_without_a_device_there_is_nothing_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert sweeping.main() == 1
    assert "nothing to time" in capsys.readouterr().out
