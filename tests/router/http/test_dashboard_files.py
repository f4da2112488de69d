"""The page: whole, closed to strangers, quiet towards the rest of the world, and alive in a real browser."""

import asyncio
import base64
import re
import shutil
from pathlib import Path

import pytest

from common.types.access import Access
from common.types.ids import Role
from common.types.keys import Key, digest_of, line_of
from router.http.dashboard_files import FOLDER, TYPES
from tests.router.rig import Rig, rig

SITE = {"sec-fetch-site": "same-origin"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def get(fleet: Rig, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    """Status, headers and body."""
    host, _, port = fleet.router.http_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = {"host": "baton", "connection": "close"} | (headers or {})
    writer.write(
        f"GET {path} HTTP/1.1\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n"
    )
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in rest), body.decode()


def login(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


async def test_every_file_that_is_named_is_served(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        status, headers, page = await get(fleet, "/")
        assert (status, headers["content-type"].split(";")[0]) == (200, "text/html")
        assert "default-src 'self'" in headers["content-security-policy"]
        named = set(re.findall(r'(?:src|href)="page/([^"]+)"', page))
        for path in FOLDER.glob("*.js"):
            named |= set(re.findall(r'from "\./([^"]+)"', path.read_text()))
        assert {path.name for path in FOLDER.iterdir()} == named | {"index.html"}
        for name in named:
            status, headers, body = await get(fleet, f"/page/{name}")
            assert (status, headers["content-type"].split(";")[0]) == (200, TYPES[Path(name).suffix]), name
            assert body == (FOLDER / name).read_text()


@pytest.mark.parametrize(
    "name", ["nothing.js", "..", "%2e%2e%2fdashboard_files.py", "../dashboard_files.py", "page.css%00"]
)
async def test_nothing_else_is(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path) as fleet:
        assert (await get(fleet, f"/page/{name}"))[0] == 404


def test_nothing_comes_from_elsewhere() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|url\(|innerHTML|eval\(", text), path.name


async def test_a_browser_logs_in_and_only_its_own_page_counts(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(
        "".join(line_of(Key(name, digest_of(name), admin=name == "root")) + "\n" for name in ("root", "alice"))
    )
    async with rig(tmp_path, access=Access(keys=str(keys))) as fleet:
        status, headers, _ = await get(fleet, "/")
        assert (status, headers["www-authenticate"].split()[0]) == (401, "basic")
        for path in ("/", "/page/main.js", "/fleet", "/v1/models"):
            assert (await get(fleet, path, login("root") | SITE))[0] == 200
            assert (await get(fleet, path, login("root") | {"sec-fetch-site": "cross-site"}))[0] == 401
            assert (await get(fleet, path, login("root")))[0] == 401
            assert (await get(fleet, path, login("guess") | SITE))[0] == 401
        assert (await get(fleet, "/", login("alice") | SITE))[0] == 403
        for broken in ("Basic ***", "Basic " + base64.b64encode(b"no colon").decode(), "Basic /w=="):
            assert (await get(fleet, "/", {"authorization": broken} | SITE))[0] == 401


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
async def test_it_comes_alive_in_a_browser(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        await fleet.add(Role.DECODE, "d-one")
        await fleet.reply("hello")
        browser = await asyncio.create_subprocess_exec(
            *(
                str(CHROMIUM),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'profile'}",
            ),
            *(
                "--virtual-time-budget=4000",
                "--enable-logging=stderr",
                "--dump-dom",
                f"http://{fleet.router.http_address}/",
            ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await browser.communicate()
        page = out.decode()
        assert "prefill member p0" in page
        assert "decode member d-one" in page
        assert re.search(r'id="state"[^>]*>ready<', page)
        assert "Time to first token: p50" in page
        said = [line for line in err.decode().splitlines() if "CONSOLE" in line]
        assert not said, said
