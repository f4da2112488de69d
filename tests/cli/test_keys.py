"""`baton keys` as a process: a key is shown once, kept as a hash, and taken by a router."""

from pathlib import Path

from common.types.keys import digest_of, parse_keys
from tests.cli.command import baton


async def test_a_key_is_printed_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    made = await baton("keys", "new", "alice", "--keys", str(file), "--requests-per-min", "60", "--tenant", "acme")
    assert made.code == 0, made.err
    text = made.out.strip()
    assert text not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    (key,) = parse_keys(file.read_text())
    assert (key.id, key.digest, key.requests_per_min, key.tenant) == ("alice", digest_of(text), 60, "acme")
    assert not key.admin


async def test_keys_are_listed_and_removed_and_remarks_stay(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\n")
    for name in ("alice", "bob"):
        assert (await baton("keys", "new", name, "--admin", "--keys", str(file))).code == 0
    listed = await baton("keys", "--keys", str(file))
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [["alice", "all"], ["bob", "all"]]
    assert (await baton("keys", "remove", "alice", "--keys", str(file))).code == 0
    assert [key.id for key in parse_keys(file.read_text())] == ["bob"]
    assert file.read_text().startswith("# ours\n")


async def test_what_cannot_be_done_is_said_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    assert (await baton("keys", "new", "--keys", str(file))).code == 2
    assert (await baton("keys", "new", "a/b", "--keys", str(file))).code == 2
    assert (await baton("keys", "list", "--keys", str(file))).code == 1
    assert not file.exists()
    await baton("keys", "new", "alice", "--keys", str(file))
    before = file.read_text()
    again = await baton("keys", "new", "alice", "--keys", str(file))
    assert (again.code, "already" in again.err) == (2, True)
    assert (await baton("keys", "remove", "bob", "--keys", str(file))).code == 2
    assert file.read_text() == before
    file.write_text("nonsense\n")
    broken = await baton("keys", "new", "bob", "--keys", str(file))
    assert (broken.code, "line 1" in broken.err) == (1, True)
