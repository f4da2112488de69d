"""Keys over HTTP as somebody would try them who has none, or not the right one. Byte by byte over real sockets."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.types.access import Access
from common.types.keys import Key, digest_of, fleet_key, line_of
from router.http.keys import needs_of
from router.http.routes import ROUTES
from router.keys import Needs
from tests.router.http.wire import Answer, connected
from tests.router.rig import Rig, rig

ALICE, ROOT, FLEET = "alice's", "root's", fleet_key("k")
KEYS = (Key("alice", digest_of(ALICE)), Key("root", digest_of(ROOT), admin=True))
OPERATORS = [route.path for route in ROUTES if route.key.value == "admin" and "{" not in route.path]


@asynccontextmanager
async def locked(folder: Path, keys: Sequence[Key] = KEYS) -> AsyncIterator[Rig]:
    (folder / "keys").write_text("".join(line_of(key) + "\n" for key in keys))
    async with rig(folder, access=Access(keys=str(folder / "keys"))) as fleet:
        yield fleet


async def get(fleet: Rig, path: str, *headers: str, method: str = "GET") -> Answer:
    """Header lines exactly as given."""
    async with connected(fleet.router.http_address) as wire:
        lines = [f"{method} {path} HTTP/1.1", "host: t", "connection: close", *headers, "", ""]
        wire.writer.write("\r\n".join(lines).encode("latin-1"))
        return await wire.answer()


def basic(password: str, name: str = "x") -> str:
    return "authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_path_needs_what_the_route_needs_that_it_reaches() -> None:
    """Also where the router of paths takes one that is not written as in the table."""
    for route in ROUTES:
        path = route.path.replace("{name}", "page.js").replace("{model:path}", "tiny")
        wanted = Needs(route.key.value)
        assert needs_of(path) is needs_of(path + "\n") is wanted
        assert needs_of("/x" + path) is Needs.API, "what is at no route takes a key"


@pytest.mark.parametrize(
    "ending", ["%0a", "%0A", "%0d%0a", "%00", "%20", "/", "//", ";", "%3f", "%23", "/.", "/%2e%2e/fleet"]
)
async def test_no_spelling_of_an_operators_path_opens_it(tmp_path: Path, ending: str) -> None:
    async with locked(tmp_path) as fleet:
        for path in OPERATORS:
            answer = await get(fleet, path + ending, f"authorization: Bearer {ALICE}")
            assert answer.status in (403, 404), path
            assert (await get(fleet, path + ending)).status == 401, path


@pytest.mark.parametrize("path", ["/%66leet", "/fleet?key=1", "http://elsewhere/fleet", "/fleet#part", "/fleet?x#y"])
async def test_other_spellings_of_it_are_the_same_path(tmp_path: Path, path: str) -> None:
    async with locked(tmp_path) as fleet:
        assert (await get(fleet, path)).status == 401
        assert (await get(fleet, path, f"authorization: Bearer {ALICE}")).status == 403
        assert (await get(fleet, path, f"authorization: Bearer {ROOT}")).status == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "TRACE"])
async def test_other_methods_take_the_key_too(tmp_path: Path, method: str) -> None:
    async with locked(tmp_path) as fleet, connected(fleet.router.http_address) as wire:
        await wire.send(method, "/fleet")
        assert (await wire.head()).status == 401


SAME = [
    "authorization: Bearer {}",
    "AUTHORIZATION: BEARER {}",
    "Authorization:    bearer   {}   ",
    "authorization: Bearer {}\r\nauthorization: Bearer {}",
]
NOT_SAME = [
    "authorization: {}",
    "authorization: Bearer{}",
    "authorization: Bearer",
    "authorization: Token {}",
    "authorization: Bearer {} {}",
    "authorization: Bearer {},",
    'authorization: Bearer "{}"',
    "authorization: Bearer {}\r\nauthorization: Bearer other",
    "authorization: Bearer other\r\nauthorization: Bearer {}",
    "authorization: Bearer {}\r\nauthorization: Basic e30=",
    "proxy-authorization: Bearer {}",
    "x-api-key: {}",
    "cookie: authorization=Bearer {}",
    "authorization: Bearer \xff{}",
    "authorization: Basic {}",
    "authorization: Basic ====",
    "authorization: Basic //79",
]


@pytest.mark.parametrize("line", SAME)
async def test_a_key_is_a_key_however_the_header_is_written(tmp_path: Path, line: str) -> None:
    async with locked(tmp_path) as fleet:
        assert (await get(fleet, "/v1/models", line.format(ALICE, ALICE))).status == 200


async def test_nothing_else_is_a_key(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        for line in NOT_SAME:
            answer = await get(fleet, "/v1/models", line.format(ALICE, ALICE))
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key"), line
            assert ALICE not in answer.body.decode()
        for guess in (
            ALICE.upper(),
            ALICE[:-1],
            ALICE + "x",
            digest_of(ALICE).hex(),
            "sha256:" + digest_of(ALICE).hex(),
        ):
            assert (await get(fleet, "/v1/models", f"authorization: Bearer {guess}")).status == 401
        for path in (f"/v1/models?api_key={ALICE}", f"/v1/models?authorization=Bearer%20{ALICE}"):
            assert (await get(fleet, path)).status == 401


async def test_a_log_in_counts_only_from_this_origin(tmp_path: Path) -> None:
    """A browser sends it with whatever another site's page asks for."""
    async with locked(tmp_path) as fleet:
        for site in ("same-origin", "none"):
            assert (await get(fleet, "/fleet", basic(ROOT), f"sec-fetch-site: {site}")).status == 200
            assert (await get(fleet, "/fleet", basic(ALICE), f"sec-fetch-site: {site}")).status == 403
        for lines in (
            [],
            ["sec-fetch-site: cross-site"],
            ["sec-fetch-site: same-site"],
            ["sec-fetch-site: "],
            ["sec-fetch-site: same-origin", "sec-fetch-site: cross-site"],
            ["sec-fetch-site: same-origin, cross-site"],
            ["origin: http://t"],
        ):
            assert (await get(fleet, "/fleet", basic(ROOT), *lines)).status == 401, lines


async def test_a_password_may_hold_a_colon_and_a_name_is_nothing(tmp_path: Path) -> None:
    keys = [Key("root", digest_of("a:b"), admin=True)]
    async with locked(tmp_path, keys) as fleet:
        for name in ("", "anybody", "ünï"):
            assert (await get(fleet, "/fleet", basic("a:b", name), "sec-fetch-site: none")).status == 200
        assert (await get(fleet, "/fleet", basic("", "a:b"), "sec-fetch-site: none")).status == 401


async def test_the_fleets_own_key_is_no_clients(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        assert (await get(fleet, "/metrics", f"authorization: Bearer {FLEET}")).status == 200
        assert (await get(fleet, "/v1/models", f"authorization: Bearer {FLEET}")).status == 401


async def test_a_body_is_not_read_for_strangers(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet, connected(fleet.router.http_address) as wire:
        await wire.send("POST", "/v1/completions", content_type="application/json", content_length="8000000")
        assert (await wire.answer()).status == 401


async def test_refusals_at_once_are_counted_by_the_key(tmp_path: Path) -> None:
    """Many at the same moment get no more than the limit between them, and it is another key's nothing."""
    keys = [Key("few", digest_of("few"), requests_per_min=5), Key("alice", digest_of(ALICE))]
    async with locked(tmp_path, keys) as fleet:
        answers = await asyncio.gather(*(get(fleet, "/v1/models", "authorization: Bearer few") for _ in range(12)))
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 7
        assert (await get(fleet, "/v1/models", f"authorization: Bearer {ALICE}")).status == 200
        assert (await get(fleet, "/health")).status == 200, "probes take no key and count for none"
