"""Verbs are found, misuse is told, and nothing shows a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from baton.cli import up
from baton.cli.main import FAILED, MISUSED, OK, UNREAD, VERBS, main, usage
from common.types.errors import StartupError
from tests.addresses import free_address
from tests.house.source import ROOT


def test_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == MISUSED
    assert main(["--help"]) == OK
    assert capsys.readouterr().out.count("usage: baton VERB") == 2


def test_wrong_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == MISUSED
    assert "'serve' is no verb" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"baton {verb}" in usage()
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"baton {verb} ")


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["up", "--prefil", "2"], MISUSED, "Did you mean --prefill?"),
        (["up", "--model", "/nowhere"], FAILED, "/nowhere is no model folder"),
        (["pool", "drain"], MISUSED, "There is no member to drain"),
        (["generate", "--max-tokens", "0"], MISUSED, "at least 1"),
    ],
)
def test_misuse_is_told(argv: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == code
    err = capsys.readouterr().err
    assert text in err
    assert "Traceback" not in err


def test_output_that_nobody_reads_ends_it_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as stdout:
        assert _help_to(stdout.fileno()) == (UNREAD, "")


def test_output_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "wb") as stdout:
        assert _help_to(stdout.fileno()) == (FAILED, "baton: No space left on device\n")


def test_an_installation_without_its_demo_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "DEMO", tmp_path)
    with pytest.raises(StartupError, match=r"it has no config\.json\. Install Baton again, or name a model: --model"):
        up.run([f"--{name}={free_address()}" for name in ("grpc", "http", "fleet")])


def test_up_where_only_a_client_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "installed", lambda name: None if name in ("torch", "uvloop") else "1.0")
    with pytest.raises(StartupError, match=r"not installed here: torch, uvloop\. In Baton's own folder: pip install"):
        up.run([])


def _help_to(stdout: int) -> tuple[int, str]:
    argv = [sys.executable, "-m", "baton.cli.main", "--help"]
    ran = subprocess.run(argv, check=False, stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    return ran.returncode, ran.stderr
