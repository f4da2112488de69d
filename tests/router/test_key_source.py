"""A file of keys that changes under a running router: seen whole or not at all, at whatever moment one looks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.types.errors import StartupError
from common.types.keys import Key, digest_of, line_of, parse_keys
from router import key_source
from router.key_source import KeyFile

HASH = digest_of("x").hex()


def key(id: str) -> Key:
    return Key(id, digest_of(id))


def text_of(*ids: str) -> str:
    return "".join(line_of(key(id)) + "\n" for id in ids)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(text_of("a"))
    return path


def ids(keys: tuple[Key, ...] | None) -> list[str] | None:
    return None if keys is None else [key.id for key in keys]


def test_what_has_not_changed_is_no_news(path: Path) -> None:
    file = KeyFile(path)
    file.read()
    assert [file.changed() for _ in range(3)] == [None] * 3


def test_a_file_that_changes_while_it_is_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamp is taken first: what came between stamp and reading is seen now, and again at the next look."""
    file = KeyFile(path)
    parse = parse_keys

    def replaced_meanwhile(text: str) -> tuple[Key, ...]:
        monkeypatch.setattr(key_source, "parse_keys", parse)
        path.write_text(text_of("a", "b"))
        return parse(text)

    monkeypatch.setattr(key_source, "parse_keys", replaced_meanwhile)
    assert ids(file.read()) == ["a"]
    assert ids(file.changed()) == ["a", "b"]
    assert file.changed() is None


def test_the_same_length_at_the_same_time_in_another_file_is_a_change(path: Path) -> None:
    file = KeyFile(path)
    file.read()
    found = os.stat(path)
    fresh = path.with_suffix(".new")
    fresh.write_text(text_of("b"))
    os.utime(fresh, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(fresh, path)
    assert ids(file.changed()) == ["b"]


def breakages(path: Path) -> Iterator[None]:
    """Each makes it unusable in another way."""
    path.write_text("half a li")
    yield
    path.write_bytes(b"\xff\xfe\x00")
    yield
    path.write_text(text_of("a") * 2)
    yield
    path.unlink()
    yield
    path.mkdir()
    yield


def test_a_broken_file_is_told_once_and_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(path)
    file.read()
    for num, _ in enumerate(breakages(path), 1):
        assert [file.changed() for _ in range(3)] == [None] * 3
        told = [record for record in caplog.records if record.message == "keys not read again"]
        assert len(told) == num
    path.rmdir()
    path.write_text(text_of("c"))
    assert ids(file.changed()) == ["c"]


def test_an_emptied_file_is_a_file_without_keys(path: Path) -> None:
    """Whoever empties it means that nobody is let in: it is no broken one."""
    file = KeyFile(path)
    file.read()
    path.write_text("# nobody\n\n   \n")
    assert file.changed() == ()


def test_a_start_names_the_line_and_not_the_hash(path: Path) -> None:
    path.write_text(text_of("a") + "# fine\n" + f"b sha256:{HASH} requests=0\n")
    with pytest.raises(StartupError) as caught:
        KeyFile(path).read()
    assert "line 3" in str(caught.value)
    assert HASH not in str(caught.value)
