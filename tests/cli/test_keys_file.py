"""The file of keys as `baton keys` leaves it: whole or untouched, its owner's alone, remarks and order kept."""

import os
from pathlib import Path

import pytest

from baton.cli.keys import HEAD, run
from common.types.errors import StartupError
from common.types.keys import digest_of, parse_keys
from common.types.options import ConfigError

HASH = "sha256:" + "ab" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def keys(file: Path, *argv: str) -> int:
    return run([*argv, f"--keys={file}"])


def test_limits_and_tenant_are_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(file, "new", "alice", "--requests-per-min=6", "--tokens-per-min=700", "--tenant=acme", "--admin") == 0
    made = capsys.readouterr()
    (key,) = parse_keys(file.read_text())
    assert (key.id, key.admin, key.requests_per_min, key.tokens_per_min, key.tenant) == ("alice", True, 6, 700, "acme")
    assert key.digest == digest_of(made.out.strip())
    assert made.out.count("\n") == 1, "the key alone, so that it can be piped"
    assert "shown this once" in made.err


def test_two_keys_are_never_alike(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        keys(file, "new", name)
    texts = capsys.readouterr().out.split()
    assert len(set(texts)) == 3
    assert [key.id for key in parse_keys(file.read_text())] == ["a", "b", "c"]


def test_a_file_that_others_may_read_is_closed_when_it_is_written(file: Path) -> None:
    file.write_text("# ours\n")
    file.chmod(0o644)
    keys(file, "new", "alice")
    assert file.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_beside_the_file(file: Path) -> None:
    keys(file, "new", "alice")
    keys(file, "remove", "alice")
    assert os.listdir(file.parent) == ["keys"]


@pytest.mark.parametrize("last", ["", "\n", "\n\n"])
def test_a_line_without_an_end_is_not_run_into(file: Path, last: str) -> None:
    file.write_text(f"bob {HASH}{last}")
    keys(file, "new", "alice")
    assert [key.id for key in parse_keys(file.read_text())] == ["bob", "alice"]


def test_the_list_shows_limits_and_no_hash(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"alice {HASH} requests=5 tenant=acme # since May\nroot sha256:{'cd' * 32} admin tokens=9\n")
    assert keys(file) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == list(HEAD)
    assert rows == [["alice", "ask", "5", "-", "acme"], ["root", "all", "-", "9", "root"]]


def test_an_empty_list_says_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("# nobody yet\n")
    assert keys(file, "list") == 0
    assert capsys.readouterr().out == "there are no keys\n"


@pytest.mark.parametrize("line", [f"  bob {HASH} admin", f"bob\t{HASH}", f"bob {HASH}# a remark"])
def test_a_key_goes_however_its_line_is_written_and_its_namesakes_stay(file: Path, line: str) -> None:
    file.write_text(f"# bob\nbobby sha256:{'01' * 32}\n{line}\nalice sha256:{'23' * 32} tenant=bob\n")
    assert keys(file, "remove", "bob") == 0
    assert [key.id for key in parse_keys(file.read_text())] == ["bobby", "alice"]
    assert file.read_text().startswith("# bob\n")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("new",), "no id to make a key for"),
        (("remove",), "no id to remove"),
        (("new", "a b"), "no id"),
        (("new", ".hidden"), "no id"),
        (("new", "x" * 65), "no id"),
        (("new", "alice", "--tenant=a/b"), "a/b is no name of a tenant"),
        (("new", "bob"), "bob has a key already"),
        (("remove", "alice"), "alice has no key in"),
        (("new", "alice", "--requests-per-min=-1"), "requests-per-min"),
        (("turn", "alice"), "turn"),
    ],
)
def test_what_cannot_be_done_changes_nothing(file: Path, argv: tuple[str, ...], why: str) -> None:
    before = f"# ours\nbob {HASH}\n"
    file.write_text(before)
    with pytest.raises(ConfigError, match=why):
        keys(file, *argv)
    assert file.read_text() == before


@pytest.mark.parametrize("action", ["list", "new", "remove"])
def test_a_file_that_cannot_be_used_is_named_with_the_line(file: Path, action: str) -> None:
    before = f"bob {HASH}\nalice {HASH}\n"
    file.write_text(before)
    with pytest.raises(StartupError, match=r"line 2: alice is the same key"):
        keys(file, action, "carol") if action != "list" else keys(file)
    assert file.read_text() == before


def test_a_file_that_is_not_there_is_made_and_not_searched(file: Path) -> None:
    for action in (("list",), ("remove", "alice")):
        with pytest.raises(FileNotFoundError):
            keys(file, *action)
    assert keys(file, "new", "alice") == 0
