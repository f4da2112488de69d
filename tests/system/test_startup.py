"""A process that cannot start says why, and what to do, in its last two lines; exits with 1; leaves nothing behind."""

import gc
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from common.engine import process
from common.engine.worker import Kind
from decode_worker.kind import DECODE
from prefill_worker.kind import PREFILL
from router import main as router_main
from tests.models.folders import INDEX, SINGLE, copy_model, edit_config, edit_index, edit_tensors, shard
from tests.tiny import tiny_model

KINDS = pytest.mark.parametrize("kind", [PREFILL, DECODE], ids=["prefill", "decode"])


def start_worker(kind: Kind, monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    monkeypatch.setattr(sys, "argv", ["worker", *flags])
    return process.main(kind, "worker")


def last_words(capfd: pytest.CaptureFixture[str]) -> str:
    captured = capfd.readouterr()
    return " ".join((captured.out + captured.err).strip().splitlines()[-2:])


def check_nothing_more_is_held(before: set[str]) -> None:
    """gRPC's own threads close what is theirs a moment later."""
    until = time.monotonic() + 20
    while not (now := held()) <= before and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert now <= before


def held() -> set[str]:
    """Memory and sockets this process has open."""
    gc.collect()
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    names = {os.readlink(link) for link in links if link.is_symlink()}
    return {name for name in names if name.startswith(("/memfd", "socket"))}


def drop_a_shard(folder: Path) -> None:
    shard(folder, 3)
    (folder / "model-00002-of-00003.safetensors").unlink()


def cut_a_file(folder: Path) -> None:
    weights = folder / SINGLE
    weights.write_bytes(weights.read_bytes()[:-1000])


def lose_a_tensor(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.pop("model.layers.1.mlp.down_proj.weight"))


def store_integers(folder: Path) -> None:
    import torch

    edit_tensors(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int32)}))


def name_an_unknown_architecture(folder: Path) -> None:
    edit_config(folder, architectures=["MambaForCausalLM"], model_type="mamba")


def name_another_shard(folder: Path) -> None:
    shard(folder, 2)
    edit_index(folder, lambda weights: weights.update({next(iter(weights)): "model-00002-of-00002.safetensors"}))
    assert (folder / INDEX).is_file()


def write_half_a_config(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


BROKEN = {
    "missing shard": (drop_a_shard, "00002"),
    "half-written weights": (cut_a_file, SINGLE),
    "missing tensor": (lose_a_tensor, "down_proj"),
    "wrong dtype": (store_integers, "I32"),
    "unknown architecture": (name_an_unknown_architecture, "LlamaForCausalLM"),
    "index at odds with its files": (name_another_shard, "disagree"),
    "half-written config": (write_half_a_config, "config.json"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_folder_is_named(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    damage, named = BROKEN[broken]
    folder = copy_model("llama", tmp_path)
    damage(folder)
    before = held()
    assert start_worker(PREFILL, monkeypatch, f"--model={folder}", "--num-blocks=64") == 1
    assert named in last_words(capfd)
    check_nothing_more_is_held(before)


@KINDS
def test_a_port_in_use_is_named(kind: Kind, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    before = held()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        model = tiny_model("llama")
        assert start_worker(kind, monkeypatch, f"--model={model}", "--num-blocks=64", f"--listen=127.0.0.1:{port}") == 1
    line = last_words(capfd)
    assert str(port) in line
    assert "already in use" in line
    check_nothing_more_is_held(before)


@KINDS
def test_too_little_memory_is_said_with_the_fix(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start_worker(kind, monkeypatch, f"--model={tiny_model('llama')}", "--kv-memory=100TiB") == 1
    line = last_words(capfd)
    assert "kv_memory" in line
    assert "MiB" in line


def test_a_pool_too_small_for_one_sequence_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start_worker(DECODE, monkeypatch, f"--model={tiny_model('llama')}", "--num-blocks=2") == 1
    assert "num_blocks" in last_words(capfd)


def test_shared_memory_that_is_refused_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = held()
    assert start_worker(PREFILL, monkeypatch, f"--model={tiny_model('llama')}", "--num-blocks=64") == 1
    line = last_words(capfd)
    assert "shared memory" in line
    assert "kv_memory" in line
    check_nothing_more_is_held(before)


@pytest.mark.parametrize("flag", ["--grpc", "--fleet", "--http"])
def test_the_router_names_a_port_in_use(
    flag: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ports = dict.fromkeys(("--grpc", "--fleet", "--http"), "127.0.0.1:0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports[flag] = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = [f"{name}={value}" for name, value in ports.items()]
        monkeypatch.setattr(sys, "argv", ["router", f"--model={tiny_model('llama')}", *flags])
        assert router_main.main() == 1
        assert str(taken.getsockname()[1]) in last_words(capfd)


def test_a_folder_that_is_no_model_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.json").write_text(json.dumps({"a": 1}))
    assert start_worker(PREFILL, monkeypatch, f"--model={tmp_path}") == 1
    assert "config.json" in last_words(capfd)


def test_an_option_that_does_not_exist_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start_worker(PREFILL, monkeypatch, f"--model={tiny_model('llama')}", "--num-block=64") == 1
    assert "num-blocks" in last_words(capfd)
