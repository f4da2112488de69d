"""Keys: what is let in, what is limited, and what a changed file changes."""

import os
from pathlib import Path

import pytest

from common.types.access import Access
from common.types.config import RouterConfig
from common.types.errors import BatonError, Forbidden, Overloaded, StartupError, Unauthenticated
from common.types.keys import Key, digest_of, fleet_key, line_of, new_key
from router.key_source import KeyFile, MadeKey, key_source
from router.keys import KeyRing, Needs, bearer, caller, let_in, open_keys

SECRET = fleet_key("shared")


class Listed:
    """A source that a test changes."""

    def __init__(self, *keys: Key) -> None:
        self.keys, self.news = keys, False

    def read(self) -> tuple[Key, ...]:
        return self.keys

    def changed(self) -> tuple[Key, ...] | None:
        news, self.news = self.news, False
        return self.keys if news else None


def key(id: str = "alice", text: str = "open sesame", **options: object) -> Key:
    return Key(id, digest_of(text), **options)  # type: ignore[arg-type]


def test_a_known_key_is_let_in_and_no_other() -> None:
    ring = KeyRing(Listed(key()), SECRET)
    assert ring.authenticate("open sesame", Needs.API, 0.0).id == "alice"
    for presented in (None, "", "open", "open sesame ", SECRET, digest_of("open sesame").hex()):
        with pytest.raises(Unauthenticated):
            ring.authenticate(presented, Needs.API, 0.0)


def test_admin_routes_take_an_admin_key_or_the_fleets_own() -> None:
    ring = KeyRing(Listed(key(), key("root", "admin text", admin=True)), SECRET)
    with pytest.raises(Forbidden):
        ring.authenticate("open sesame", Needs.ADMIN, 0.0)
    assert ring.authenticate("admin text", Needs.ADMIN, 0.0).id == "root"
    assert ring.authenticate("admin text", Needs.API, 0.0).id == "root"
    assert ring.authenticate(SECRET, Needs.ADMIN, 0.0).id == "fleet"


def test_a_members_place_takes_the_fleets_own_key() -> None:
    ring = KeyRing(Listed(key("root", "admin text", admin=True)), SECRET)
    assert ring.authenticate(SECRET, Needs.FLEET, 0.0).id == "fleet"
    with pytest.raises(Forbidden):
        ring.authenticate("admin text", Needs.FLEET, 0.0)
    with pytest.raises(Unauthenticated):
        ring.authenticate(fleet_key("another"), Needs.FLEET, 0.0)


def test_requests_are_limited_by_the_key_and_the_limit_is_named() -> None:
    ring = KeyRing(Listed(key(requests_per_min=2)), SECRET)
    found = ring.authenticate("open sesame", Needs.API, 0.0)
    ring.count_request(found, 0.0)
    ring.count_request(found, 0.0)
    with pytest.raises(Overloaded, match="2 requests a minute") as caught:
        ring.count_request(found, 1.0)
    assert (caught.value.limit, caught.value.retry_after_ms) == ("key_requests", 29_000)
    ring.count_request(found, 30.0)


def test_tokens_are_charged_ahead_and_settled_after() -> None:
    ring = KeyRing(Listed(key(tokens_per_min=100)), SECRET)
    found = ring.authenticate("open sesame", Needs.API, 0.0)
    ring.charge_tokens(found, 80, 0.0)
    with pytest.raises(Overloaded, match="100 tokens a minute") as caught:
        ring.charge_tokens(found, 50, 0.0)
    assert caught.value.limit == "key_tokens"
    ring.settle_tokens(found, 80, 10)
    ring.charge_tokens(found, 50, 0.0)
    ring.settle_tokens(found, 50, 250)
    with pytest.raises(Overloaded) as caught:
        ring.charge_tokens(found, 1, 0.0)
    assert caught.value.retry_after_ms == pytest.approx(60_000 * 161 / 100, rel=0.01)


def test_a_request_larger_than_its_minute_is_owed() -> None:
    ring = KeyRing(Listed(key(tokens_per_min=60)), SECRET)
    found = ring.authenticate("open sesame", Needs.API, 0.0)
    ring.charge_tokens(found, 120, 0.0)
    with pytest.raises(Overloaded):
        ring.charge_tokens(found, 1, 60.0)
    ring.charge_tokens(found, 1, 61.0)


def test_limits_outlive_a_reading_and_a_changed_limit_begins_anew() -> None:
    source = Listed(key(requests_per_min=1))
    ring = KeyRing(source, SECRET)
    ring.count_request(ring.authenticate("open sesame", Needs.API, 0.0), 0.0)
    source.news = True
    with pytest.raises(Overloaded):
        ring.count_request(ring.authenticate("open sesame", Needs.API, 2.0), 2.0)
    source.keys, source.news = (key(requests_per_min=5),), True
    ring.count_request(ring.authenticate("open sesame", Needs.API, 4.0), 4.0)


def test_a_call_knows_its_caller_only_while_it_lasts() -> None:
    ring = KeyRing(Listed(key(tenant="acme"), key("bob", "b", tenant="acme"), key("eve", "e")), SECRET)
    refused: list[BatonError] = []
    ring.on_refused = refused.append
    salts = []
    for presented in ("open sesame", "b", "e"):
        with let_in(ring, presented, Needs.API):
            who = caller()
            assert who is not None
            salts.append(who.salt)
    assert caller() is None
    assert salts[0] == salts[1] != salts[2]
    with pytest.raises(Unauthenticated), let_in(ring, "nobody", Needs.API):
        raise AssertionError("let in")
    assert [type(error) for error in refused] == [Unauthenticated]


@pytest.mark.parametrize(
    ("header", "found"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer", None), ("", None), ("abc", None)],
)
def test_the_header(header: str, found: str | None) -> None:
    assert bearer(header) == found


def write(path: Path, *keys: Key) -> None:
    """Replaces it in one go, as an editor does."""
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(line_of(each) + "\n" for each in keys))
    os.replace(fresh, path)


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write(path, key())
    ring = KeyRing(KeyFile(path), SECRET)
    write(path, key("bob", "b"))
    assert ring.authenticate("b", Needs.API, 100.0).id == "bob"
    with pytest.raises(Unauthenticated):
        ring.authenticate("open sesame", Needs.API, 100.0)
    path.write_text("nonsense\n")
    assert ring.authenticate("b", Needs.API, 200.0).id == "bob"
    path.unlink()
    assert ring.authenticate("b", Needs.API, 300.0).id == "bob"
    write(path, key())
    assert ring.authenticate("open sesame", Needs.API, 400.0).id == "alice"


def test_the_file_is_looked_at_once_a_second(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write(path, key())
    ring = KeyRing(KeyFile(path), SECRET)
    ring.authenticate("open sesame", Needs.API, 10.0)
    write(path, key("bob", "b"))
    ring.authenticate("open sesame", Needs.API, 10.5)
    with pytest.raises(Unauthenticated):
        ring.authenticate("open sesame", Needs.API, 11.0)


@pytest.mark.parametrize("content", [None, b"alice\n", b"\xff\xfe"])
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError):
        KeyFile(path).read()


def config(keys: str = "", **changes: str) -> RouterConfig:
    return RouterConfig(model="m", access=Access(keys=keys), **({"cache_key": "shared"} | changes))  # type: ignore[arg-type]


def test_keys_are_on_when_asked_for_or_when_strangers_can_call(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write(path, key())
    assert key_source(config()) is None
    assert isinstance(key_source(config(keys=str(path))), KeyFile)
    assert isinstance(key_source(config(http="0.0.0.0:8000")), MadeKey)
    assert isinstance(key_source(config(grpc="10.0.0.1:50051")), MadeKey)
    assert key_source(config(http="0.0.0.0:8000", keys="off")) is None
    assert key_source(config(http="")) is None


def test_a_key_made_for_a_run_is_told_once() -> None:
    told: list[str] = []
    ring = open_keys(config(http="0.0.0.0:8000"), told.append)
    assert ring is not None
    text = told[0].rpartition(" ")[2]
    assert ring.authenticate(text, Needs.ADMIN, 0.0).id == "made-at-start"
    assert open_keys(config(), told.append) is None
    assert len(told) == 2
    with pytest.raises(StartupError, match="no secret"):
        open_keys(config(http="0.0.0.0:8000", cache_key=""), told.append)


def test_fresh_keys_differ() -> None:
    assert len({new_key() for _ in range(100)}) == 100
