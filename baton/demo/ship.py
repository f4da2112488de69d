"""Puts a trained model and its loss curve where Baton finds them: `python -m baton.demo.ship`, after `train.py`."""

import argparse
import shutil
from pathlib import Path

from baton.demo import MODEL
from baton.demo.curve import draw
from baton.demo.train import FOLDER

MOST_BYTES = 12_000_000


def ship(trained: Path, target: Path = MODEL) -> None:
    """Replaces the model that is there; refuses one too large for a repository."""
    files = sorted(file for file in (trained / "model").iterdir() if file.is_file())
    num_bytes = sum(file.stat().st_size for file in files)
    if num_bytes > MOST_BYTES:
        raise ValueError(f"the model takes {num_bytes} bytes, and {MOST_BYTES} is the most a repository should hold")
    target.mkdir(exist_ok=True)
    for file in files:
        shutil.copyfile(file, target / file.name)
    curve = (trained / "loss.csv").read_text()
    (target / "loss.csv").write_text(curve)
    (target / "loss.svg").write_text(draw(curve))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m baton.demo.ship", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the training was")
    ship(parser.parse_args().folder)


if __name__ == "__main__":
    main()
