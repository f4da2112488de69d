"""What the comparison ran on, in lines: the processor, its cores, the model, the versions of all sides."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from loadtest.peers.contenders import Peers

VERSION = "import importlib.metadata as m; print(m.version({name!r}))"
ASK_S = 30.0


def facts(peers: Peers, cores: Sequence[int], seconds: float, load: float) -> list[str]:
    """One fact a line."""
    sides = [
        version
        for version in (
            _version("vLLM", peers.vllm_python, "vllm"),
            _version("llama-cpp-python", peers.llama_python, "llama-cpp-python"),
        )
        if version
    ]
    return [
        f"{processor()}, {len(cores)} cores for everything: servers, client and all",
        f"model `{peers.model.name}` in bfloat16; peers: {', '.join(sides) or 'none'}",
        duration(seconds, load),
    ]


def duration(seconds: float, load: float) -> str:
    """Of a run, and what else the machine had to do."""
    return f"took {seconds / 60:.0f} minutes; load before it began {load:.2f}"


def processor() -> str:
    """Its name, as far as the machine tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(title: str, python: Path | None, name: str) -> str:
    if python is None:
        return ""
    command = [str(python), "-c", VERSION.format(name=name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    return f"{title} {done.stdout.strip()}" if done.returncode == 0 else title
