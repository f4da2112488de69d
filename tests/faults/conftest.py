"""One zygote for all fault tests, and a fleet that stays while a file's cases pass over it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.references import model_folder
from tests.system.processes import Layout, Processes, Zygote

QUICK = ("--dead-s=1.5", "--heartbeat-s=0.3", "--lease-s=3", "--renew-s=0.5", "--fence-s=1")
ROUTER = ("--mode=handoff", "--retry-share=1", *QUICK)
WORKER = ("--num-blocks=320", "--token-budget=64", "--max-sequences=32", *QUICK)
"""Prompts take several chunks, and a pool does not hold the prompts of two cases."""

StartFleet = Callable[[Layout], Processes]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="module")
def start_fleet(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartFleet]:
    """Starts fleets; in the end every process of theirs leaves as asked, without a word of complaint."""
    fleets: list[Processes] = []

    def start(layout: Layout) -> Processes:
        fleets.append(Processes(zygote, layout, tmp_path_factory.mktemp("fleet")))
        fleets[-1].start_all()
        return fleets[-1]

    yield start
    for fleet in fleets:
        codes = fleet.end_all()
        assert set(codes.values()) == {0}, codes
        assert fleet.complaints() == []
        assert fleet.leftovers() == []


def quick_layout(prefill: int = 2, decode: int = 2, *, routers: int = 1, model: Path | None = None) -> Layout:
    """Small time-outs and pools, so that a case takes a second or two."""
    return Layout(model or model_folder(), prefill, decode, routers, ROUTER, WORKER)
