"""The same from the command line, without a zygote: the real entry points, and `baton up` with all it started."""

import signal
from pathlib import Path

from tests.faults.conftest import quick_layout
from tests.faults.crowd import Crowd
from tests.faults.references import check_exact, check_exact_or_failed, greedy_wishes, model_folder, next_references
from tests.faults.watch import Watch
from tests.system.process import Process, children
from tests.system.processes import CommandLine, Layout, Processes


async def test_a_worker_started_from_the_command_line_is_killed(tmp_path: Path) -> None:
    fleet = Processes(CommandLine(), quick_layout(1, 2), tmp_path)
    references = next_references()
    try:
        fleet.start_all()
        async with Watch(fleet) as watch:
            await watch.joined()
            async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
                await crowd.until(lambda: any(stream.num_tokens > 16 for stream in crowd.streams))
                victim = await watch.busiest("decode")
                fleet.running[victim].signal(signal.SIGKILL)
                await crowd.finish()
                check_exact(crowd.streams, references)
            await watch.whole()
        assert await fleet.running[victim].ended() == -signal.SIGKILL
    finally:
        codes = fleet.end_all()
    assert {code for name, code in codes.items() if name != victim} == {0}
    assert fleet.complaints() == []
    assert fleet.leftovers() == []


async def test_up_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C in mid-stream: what runs may end, then every process has gone, and all they held with them."""
    fleet, up = start_up(tmp_path)
    references = next_references()
    try:
        async with Watch(fleet) as watch:
            await watch.until(lambda members: len(members) == len(fleet.workers))
            started = children(up.pid)
            assert len(started) == 1 + len(fleet.workers)
            async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
                await crowd.until(lambda: all(stream.accepted for stream in crowd.streams))
                up.signal(signal.SIGINT)
                await crowd.finish()
                check_exact(crowd.streams, references)
        assert await up.ended() == 0
        assert not any(map(exists, started))
    finally:
        up.reap(0)
    assert [line for line in up.lines() if "killing" in line or "Traceback" in line] == []


async def test_a_killed_up_takes_its_processes_with_it(tmp_path: Path) -> None:
    fleet, up = start_up(tmp_path)
    references = next_references()
    async with Watch(fleet) as watch:
        try:
            await watch.until(lambda members: len(members) == len(fleet.workers))
            started = children(up.pid)
            async with Crowd(fleet.grpc(), greedy_wishes(references)) as crowd:
                await crowd.until(lambda: any(stream.num_tokens > 0 for stream in crowd.streams))
                up.signal(signal.SIGKILL)
                await crowd.finish()
                check_exact_or_failed(crowd.streams, references)
        finally:
            up.reap(0)
        await watch.until(lambda _: not any(map(exists, started)))


def exists(pid: int) -> bool:
    """Whoever inherits a process may let its entry stand once it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def start_up(folder: Path) -> tuple[Processes, Process]:
    """`baton up` on a fleet's addresses; the fleet itself starts nothing, and says what to expect."""
    fleet = Processes(CommandLine(), Layout(model_folder(), 1, 2), folder)
    argv = ["up", f"--model={model_folder()}", "--prefill=1", "--decode=2", "--kv-memory=16MiB", "--no-pin"]
    argv += [f"--grpc={fleet.grpc()}", f"--fleet={fleet.fleet()}", f"--http={fleet.http()}", "--threads=1"]
    return fleet, fleet.starter.start("up", "baton.cli.main", argv, folder / "up.log")
