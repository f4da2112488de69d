"""Pictures of the dashboard and of a report of `baton bench` for README, taken with Chromium of a fleet under load.

    python -m loadtest.pictures_web [--grpc HOST:PORT] [--http HOST:PORT] [--folder DIR]

Owns how long the load runs before the picture; what is shown is what the page shows.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from common.types.config import GRPC, HTTP
from common.types.errors import StartupError

FOLDER = Path("docs/pictures")
LOAD_S = 75
PICTURE_AT_S = 60
LOAD = (
    *("--rate=4", f"--duration-s={LOAD_S}", "--requests=1000", "--input-tokens=lognormal:180:0.5"),
    *("--output-tokens=uniform:40:160", "--clip-input=600", "--goodput=ttft:200,tpot:20"),
)
DARK, LIGHT = "preferredColorScheme=0", "preferredColorScheme=1"


async def picture(url: str, path: Path, scheme: str, width: int, height: int) -> None:
    """A page once it has come alive."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise StartupError("there is no Chromium on the path", "Install it: apt-get install chromium")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        process = await asyncio.create_subprocess_exec(
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={profile}", "--virtual-time-budget=4000", f"--blink-settings={scheme}"),
            *(f"--window-size={width},{height}", f"--screenshot={path}", url),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()


async def take(grpc: str, http: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.html"
        words = ["bench", grpc, *LOAD, f"--report={report}"]
        load = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "baton.cli.main", *words, stdout=asyncio.subprocess.DEVNULL
        )
        await asyncio.sleep(PICTURE_AT_S)
        await picture(f"http://{http}/", folder / "dashboard.png", LIGHT, 1280, 1010)
        await picture(f"http://{http}/", folder / "dashboard-dark.png", DARK, 1280, 1010)
        await load.wait()
        await picture(report.as_uri(), folder / "report.png", LIGHT, 1180, 1400)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.pictures_web", description=__doc__)
    parser.add_argument("--grpc", default=GRPC)
    parser.add_argument("--http", default=HTTP)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    asyncio.run(take(given.grpc, given.http, given.folder.resolve()))


if __name__ == "__main__":
    main()
