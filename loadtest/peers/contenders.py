"""Who takes part: Baton in its modes, and the peers that are installed in a folder, each with the way to start it.

    PEERS/vllm/bin/vllm            vLLM's CPU build
    PEERS/llama/bin/python         llama-cpp-python
    PEERS/models/NAME              a model in Hugging Face's layout; NAME.bf16.gguf is made beside it for llama.cpp

Owns command lines. A peer keeps its own environment: nothing of it is imported here.
"""

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baton.client import Fleet
from common.types.keys import fleet_key
from common.types.resolve import child_environment
from loadtest.peers.server import Server, free_address

BATON_READY_S, VLLM_READY_S = 180.0, 240.0
QUIET = {"GRPC_VERBOSITY": "ERROR", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
SCRIPTS = Path(__file__).parent
THREAD_SETTINGS = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"}


@dataclass(frozen=True, slots=True)
class Peers:
    """What there is to compare with; an empty folder is none."""

    folder: Path | None
    model: Path

    @property
    def vllm(self) -> Path | None:
        return self._existing("vllm/bin/vllm")

    @property
    def vllm_python(self) -> Path | None:
        return self._existing("vllm/bin/python")

    @property
    def llama_python(self) -> Path | None:
        return self._existing("llama/bin/python")

    @property
    def gguf(self) -> Path | None:
        path = self._gguf()
        return path if path.is_file() else None

    def missing_gguf(self) -> tuple[str, ...] | None:
        """The command that makes it, where llama.cpp is installed and it is not there."""
        if self.llama_python is None or self.gguf is not None:
            return None
        return (*_script(self.llama_python, "to_gguf.py"), str(self.model.absolute()), str(self._gguf().absolute()))

    def _gguf(self) -> Path:
        return self.model.with_name(f"{self.model.name}.bf16.gguf")

    def _existing(self, name: str) -> Path | None:
        path = self.folder / name if self.folder is not None else None
        return path.absolute() if path is not None and path.exists() else None


def baton_together(model: Path, cores: Sequence[int], *, front: str = "grpc") -> Server:
    """Both workers may use every core: for loads in which only one of them has work at a time."""
    return _baton("baton together", model, (f"--threads={len(cores)}", "--no-pin"), {}, front)


def baton_apart(model: Path, *, mode: str = "auto", front: str = "grpc") -> Server:
    """As `baton up` does by itself: each worker on cores of its own."""
    return _baton("baton", model, (), {"BATON_MODE": mode}, front)


def baton_demo() -> Server:
    """What a newcomer starts, who does not wait for the second worker."""
    return replace(_baton("baton demo", None, (), {}, "grpc"), is_whole=None)


def _baton(name: str, model: Path | None, flags: Sequence[str], settings: Mapping[str, str], front: str) -> Server:
    """`front` says how the bench comes in; the server has both. It answers with one worker: measured is what two do."""
    cache_key = secrets.token_hex()
    grpc, fleet, http = free_address(), free_address(), free_address()
    where = () if model is None else (f"--model={model}", "--kv-memory=2GiB")
    command = (sys.executable, "-m", "baton.cli.main", "up", f"--grpc={grpc}", f"--fleet={fleet}", f"--http={http}")
    environment = clean_environment({**QUIET, **settings, "BATON_CACHE_KEY": cache_key})

    async def is_whole() -> bool:
        async with Fleet(fleet, api_key=fleet_key(cache_key)) as operator:
            return len(await operator.members()) == 2

    target, model_id = (f"http://{http}", "" if model is None else model.name) if front == "http" else (grpc, "")
    argv = (*command, *where, *flags)
    return Server(name, argv, target, BATON_READY_S, environment, model_id, is_whole=is_whole)


def vllm_server(vllm: Path, model: Path, cores: Sequence[int]) -> Server:
    """One process for prompts and tokens, on all these cores; prompts are never alike, so no cache could help it."""
    address = free_address()
    host, _, port = address.partition(":")
    command = (
        *(str(vllm), "serve", str(model.absolute()), "--dtype", "bfloat16", "--max-model-len", "4096"),
        *("--host", host, "--port", port, "--served-model-name", model.name, "--disable-uvicorn-access-log"),
    )
    environment = clean_environment({**QUIET, **vllm_settings(cores)})
    return Server("vllm", command, f"http://{address}", VLLM_READY_S, environment, model.name)


def vllm_settings(cores: Sequence[int]) -> dict[str, str]:
    """Its threads bound to these cores, as its guide for CPUs asks."""
    return {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores))}


def engine_command(side: str, peers: Peers, cores: Sequence[int]) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """A script that prints one JSON line per case of its engine without a server; None where it is not installed."""
    threads = str(len(cores))
    plain = clean_environment({})
    if side == "baton":
        return (sys.executable, "-m", "loadtest.peers.baton_steps", str(peers.model), threads), plain
    if side == "vllm" and peers.vllm_python is not None:
        environment = clean_environment({**QUIET, **vllm_settings(cores)})
        return (*_script(peers.vllm_python, "vllm_steps.py"), str(peers.model.absolute())), environment
    if side == "llama.cpp" and peers.llama_python is not None and peers.gguf is not None:
        return (*_script(peers.llama_python, "llama_steps.py"), str(peers.gguf.absolute()), threads), plain
    return None


def _script(python: Path, name: str) -> tuple[str, ...]:
    """By path, and without that path's folder among the places it imports from."""
    return str(python), "-P", str(SCRIPTS / name)


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, without what would set one side's number of threads from outside."""
    inherited = child_environment([], {})
    return {**{name: value for name, value in inherited.items() if name not in THREAD_SETTINGS}, **settings}


def use_cores(num_cores: int) -> tuple[int, ...]:
    """The first usable ones; this process and all it starts from now on stay on them."""
    cores = tuple(sorted(os.sched_getaffinity(0)))[:num_cores]
    os.sched_setaffinity(0, cores)
    return cores
