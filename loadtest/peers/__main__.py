"""`python -m loadtest.peers`: measures Baton beside the peers in a folder, and writes the table.

docs/benchmarks.md says what belongs in that folder and how each row is measured.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtest.peers.comparison import Comparison
from loadtest.peers.contenders import Peers, use_cores
from loadtest.peers.journal import Journal
from loadtest.peers.loads import QUICK, WHOLE, Sizes
from loadtest.peers.machine import duration, facts
from loadtest.peers.sheet import text
from loadtest.shapes import SHAPES, random_model

ROWS = ("C1", "C2", "C3", "C6", "C7", "C12")
RESULTS = Path("loadtest/results")
MAIN = "135m"
SHAPES_FOLDER = Path(".baton/shapes")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    folder = Path(options.peers) if options.peers else None
    if folder is not None and not folder.is_dir():
        print(f"{folder} is no folder; see docs/benchmarks.md for what belongs in it", file=sys.stderr)
        return 2
    model = _model(options.model, folder)
    if not (model / "config.json").is_file():
        print(f"{model} is no model folder", file=sys.stderr)
        return 2
    cores = use_cores(options.cores)
    peers = Peers(folder, model)
    out = Path(options.out) if options.out else RESULTS / _sheet_name(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(out.with_suffix(".jsonl"), more=options.more)
    first_turn, sizes = journal.num_turns, _sizes(options, _vocab(model))
    began, load = time.monotonic(), os.getloadavg()[0]

    def told() -> list[str]:
        seconds = time.monotonic() - began
        if not first_turn:
            return facts(peers, cores, seconds, load)
        return [f"later {sizes.turns} more turns of {options.rows} alone; {duration(seconds, load)}"]

    def write() -> None:
        out.write_text(text([*journal.facts, *told()], journal))

    comparison = Comparison(
        peers=peers,
        cores=cores,
        sizes=sizes,
        wanted=frozenset(options.rows.split(",")),
        journal=journal,
        log=out.with_suffix(".log"),
        deadline_s=began + options.minutes * 60,
        front=options.front,
        refereed=options.referee,
        say=lambda line: print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True),
        on_change=write,
        first_turn=first_turn,
    )
    comparison.log.write_text("")
    try:
        asyncio.run(_run(comparison))
    except (KeyboardInterrupt, asyncio.CancelledError):
        journal.note("interrupted: what came later was not measured")
    finally:
        journal.tell(told())
        write()
    print(f"\n{out.read_text()}\nwritten to {out}")
    return 0


async def _run(comparison: Comparison) -> None:
    """A SIGTERM ends it as Ctrl-C does: through every block that has a server to end."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await comparison.run()


def _sizes(options: argparse.Namespace, vocab: int) -> Sizes:
    """The chosen set, with what was asked for otherwise."""
    chosen = QUICK if options.quick else WHOLE
    return replace(
        chosen,
        turns=options.turns or chosen.turns,
        rates=options.rates or chosen.rates,
        rate_s=options.rate_s or chosen.rate_s,
        vocab=vocab,
    )


def _sheet_name(model: Path) -> str:
    """The 135 M model's is the one that others quote."""
    name = model.name.removesuffix("-bfloat16")
    return "peers-cpu.md" if name == MAIN else f"peers-cpu-{name}.md"


def _model(name: str, folder: Path | None) -> Path:
    """The peers' own model of that name where there is one; else a shape, or a folder."""
    own = folder / "models" / name if folder is not None else None
    if own is not None and own.is_dir():
        return own
    return random_model(name, SHAPES_FOLDER) if name in SHAPES else Path(name)


def _vocab(model: Path) -> int:
    """Random ids stay below it; the same for every side."""
    return int(json.loads((model / "config.json").read_text())["vocab_size"])


def _rates(text: str) -> tuple[float, ...]:
    """Ascending, so that the last one is the one to go on from."""
    rates = tuple(sorted(map(float, text.split(","))))
    if not rates[0] > 0:
        raise ValueError("a rate is above 0")
    return rates


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.peers", description=__doc__)
    parser.add_argument("--peers", default="", help="folder with the peers' environments and models")
    parser.add_argument("--model", default=MAIN, help="a model folder, or a shape: " + ", ".join(SHAPES))
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, such as C2,C7 (all)")
    parser.add_argument("--quick", action="store_true", help="one turn of less: about six minutes")
    parser.add_argument("--turns", type=int, default=0, help=f"how often the sides take turns ({WHOLE.turns})")
    parser.add_argument("--more", action="store_true", help="add turns to what the last run measured")
    parser.add_argument("--rates", type=_rates, default=(), help="C7: requests a second, such as 0.5,1,1.5 (1,2,3)")
    parser.add_argument("--rate-s", type=float, default=0.0, help=f"C7: how long each rate lasts ({WHOLE.rate_s:g} s)")
    parser.add_argument("--front", default="grpc", choices=("grpc", "http"), help="how Baton is asked (grpc)")
    parser.add_argument(
        "--referee", action="store_true", help="C7 with vLLM's own client too, over HTTP: 4 minutes more"
    )
    parser.add_argument("--cores", type=int, default=2, help="how many cores all of it gets (2)")
    parser.add_argument("--minutes", type=float, default=45.0, help="no phase begins after this long (45)")
    parser.add_argument("--out", default="", help=f"the table's file (in {RESULTS}, named after the model)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.rows.split(",")) - set(ROWS))
    if unknown:
        parser.error(f"no such rows: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
