"""The command line: one seed's trace, a series' sums, an exploration's table."""

import pytest

from loadtest.simulator import __main__ as command
from loadtest.simulator.outcome import Outcome
from loadtest.simulator.words import Violation


def test_a_series_prints_its_sums(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", "3", "--requests", "6"]) == 0
    printed = capsys.readouterr().out
    assert "3 seeds: every promise held" in printed
    assert "answered" in printed


def test_one_seed_prints_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seed", "5", "--requests", "6", "--trace"]) == 0
    printed = capsys.readouterr().out
    assert "admits r-0" in printed
    assert printed.splitlines()[-1].startswith("Outcome(")


def test_exploring_prints_a_line_for_each_world(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["explore", "--states", "500", "--only", "1 request"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert all("bounded" in line for line in lines[1:])


def test_a_violation_is_told_and_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fleet: object) -> Outcome:
        raise Violation("r-3 was given too much")

    monkeypatch.setattr(command, "judge", broken)
    assert command.main(["--seeds", "2", "--requests", "3"]) == 1
    assert "seed 0: r-3 was given too much" in capsys.readouterr().err
