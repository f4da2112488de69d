"""The order of things, and what a failure costs: itself, and nothing else."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.peers.__main__ import _parse, _sheet_name, _sizes
from loadtest.peers.command import Failed
from loadtest.peers.comparison import Comparison
from loadtest.peers.contenders import (
    Peers,
    baton_apart,
    baton_together,
    clean_environment,
    engine_command,
    vllm_server,
)
from loadtest.peers.journal import Journal, Sample
from loadtest.peers.loads import QUICK, WHOLE, Sizes
from loadtest.peers.server import Server
from tests.peers.test_server import ANSWERS, server


class Notes:
    """A comparison with nothing installed, and what it said."""

    def __init__(self, folder: Path, minutes: float = 10.0) -> None:
        self.said: list[str] = []
        self.num_changes = 0
        self.journal = Journal(folder / "j.jsonl")
        self.comparison = Comparison(
            peers=Peers(None, folder / "model"),
            cores=(0, 1),
            sizes=QUICK,
            wanted=frozenset({"C2"}),
            journal=self.journal,
            log=folder / "log",
            deadline_s=time.monotonic() + minutes * 60,
            front="grpc",
            refereed=False,
            say=self.said.append,
            on_change=self._changed,
        )

    def _changed(self) -> None:
        self.num_changes += 1


async def good(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
    yield Sample("good", side, turn, 1.0, "x")


async def bad(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
    yield Sample("before it went bad", side, turn, 2.0, "x")
    raise Failed("it did not like the load")


async def test_a_measure_that_fails_is_a_line_and_the_next_one_runs(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    await notes.comparison._server(0, "baton", lambda: server(ANSWERS), [bad, good])
    assert [sample.case for sample in notes.journal.samples] == ["before it went bad", "good"]
    assert notes.journal.lines == ["turn 1: fake, bad: it did not like the load"]
    assert notes.num_changes == 3


async def test_a_server_that_does_not_start_is_a_line(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    await notes.comparison._server(0, "baton", lambda: server("print('no memory'); raise SystemExit(1)"), [good])
    (line,) = notes.journal.lines
    assert "could not start (exit code 1)" in line
    assert "no memory" in line


async def test_a_bug_of_ours_loses_nothing_and_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
        yield Sample("broken", side, turn, 1 / turn, "x")

    notes = Notes(tmp_path)

    async def turn(turn: int) -> None:
        await notes.comparison._server(turn, "baton", lambda: server(ANSWERS), [broken, good])

    monkeypatch.setattr(Comparison, "_turn", lambda self, number: turn(number))
    with pytest.raises(ExceptionGroup) as raised:
        await notes.comparison.run()
    assert raised.group_contains(ZeroDivisionError)
    assert [sample.case for sample in notes.journal.samples] == ["good"]
    assert notes.journal.lines == ["turn 1: fake, broken: a bug, ZeroDivisionError"]


async def test_more_turns_go_on_where_the_last_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, turns = Notes(tmp_path), list[int]()

    async def turn(self: Comparison, number: int) -> None:
        turns.append(number)

    monkeypatch.setattr(Comparison, "_turn", turn)
    notes.comparison.first_turn, notes.comparison.sizes = 2, replace(QUICK, turns=3)
    await notes.comparison.run()
    assert turns == [2, 3, 4]


async def test_how_long_each_phase_took_is_kept(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    await notes.comparison._server(0, "baton", lambda: server(ANSWERS), [good])
    entries = map(json.loads, (tmp_path / "j.jsonl").read_text().splitlines())
    assert [entry["phase"] for entry in entries if "phase" in entry] == ["turn 1: fake, good", "turn 1: fake"]


async def test_when_the_time_is_over_nothing_is_begun(tmp_path: Path) -> None:
    notes = Notes(tmp_path, minutes=0.0)
    await notes.comparison._server(0, "baton", lambda: server(ANSWERS), [good])
    assert notes.journal.samples == []
    assert notes.journal.lines == ["turn 1: fake: skipped, the time is over"]


async def test_peers_that_are_not_there_are_named_once(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    for turn in range(2):
        await notes.comparison._vllm(turn)
    assert notes.journal.lines == ["vLLM is not installed: rows C2, C3 and C7 have no peer"]


def test_an_engine_is_heard_figure_by_figure(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    for line in ("loading", '{"case": "decode B=1 engine", "value": 12.5}', "{}"):
        notes.comparison._heard("vllm", 1, line)
    assert notes.journal.samples == [Sample("decode B=1 engine", "vllm", 1, 12.5, "tokens/s")]


def installed(folder: Path) -> Peers:
    for name in ("vllm/bin/vllm", "vllm/bin/python", "llama/bin/python", "models/m/config.json", "models/m.bf16.gguf"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return Peers(folder, folder / "models" / "m")


def test_what_is_installed_is_found(tmp_path: Path) -> None:
    peers = installed(tmp_path)
    assert peers.vllm == tmp_path / "vllm/bin/vllm"
    assert peers.gguf == tmp_path / "models/m.bf16.gguf"
    assert Peers(None, peers.model).vllm is None
    for side in ("baton", "vllm", "llama.cpp"):
        assert engine_command(side, peers, (0, 1)) is not None
    assert peers.missing_gguf() is None
    other = Peers(tmp_path, tmp_path / "other")
    assert engine_command("llama.cpp", other, (0, 1)) is None
    command = other.missing_gguf()
    assert command is not None
    assert command[0] == str(tmp_path / "llama/bin/python")
    assert command[-2:] == (str(other.model), str(tmp_path / "other.bf16.gguf"))
    assert Peers(None, other.model).missing_gguf() is None


def test_nothing_from_outside_sets_a_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LANG", "C")
    environment = clean_environment({"A": "b"})
    assert "OMP_NUM_THREADS" not in environment
    assert (environment["LANG"], environment["A"]) == ("C", "b")


def test_commands(tmp_path: Path) -> None:
    model = installed(tmp_path).model
    together, apart = baton_together(model, (0, 1)), baton_apart(model, mode="handoff", front="http")
    assert {"--threads=2", "--no-pin", f"--model={model}"} <= set(together.argv)
    assert "://" not in together.target
    assert apart.environment["BATON_MODE"] == "handoff"
    assert (apart.target[:7], apart.model_id) == ("http://", "m")
    vllm = vllm_server(tmp_path / "vllm/bin/vllm", model, (2, 3))
    assert vllm.environment["VLLM_CPU_OMP_THREADS_BIND"] == "2,3"
    assert vllm.model_id == "m"


def test_options() -> None:
    assert _parse(["--quick", "--rows", "C1,C7"]).rows == "C1,C7"
    for wrong in (["--rows", "C99"], ["--rates", "fast"], ["--rates", "0,1"]):
        with pytest.raises(SystemExit):
            _parse(wrong)
    assert QUICK.turns < WHOLE.turns


def test_sizes_are_a_chosen_set_with_what_was_asked_for_otherwise() -> None:
    assert _sizes(_parse([]), 77) == replace(WHOLE, vocab=77)
    assert _sizes(_parse(["--quick"]), 77) == replace(QUICK, vocab=77)
    asked = _sizes(_parse(["--turns", "2", "--rates", "1.5,0.5", "--rate-s", "60"]), 77)
    assert (asked.turns, asked.rates, asked.rate_s) == (2, (0.5, 1.5), 60.0)


def test_another_model_has_a_sheet_of_its_own() -> None:
    assert _sheet_name(Path("peers/models/135m")) == _sheet_name(Path("x/135m-bfloat16")) == "peers-cpu.md"
    assert _sheet_name(Path("peers/models/350m")) == _sheet_name(Path("x/350m-bfloat16")) == "peers-cpu-350m.md"
