"""Verbs are found, misuse is told, and nothing shows a traceback."""

import pytest

from baton.cli.main import FAILED, MISUSED, OK, VERBS, main, usage


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
