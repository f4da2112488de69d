"""Every way a model folder can be wrong ends in a `ModelError` that names cause and fix, before memory is taken."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from common.models.decoder import Decoder
from common.types.errors import ModelError
from tests.models.folders import INDEX, SINGLE, copy_model, edit_config, edit_header, edit_index, edit_tensors, shard

FIRST = "model-00001-of-00002.safetensors"
UP, Q, K = "model.layers.1.mlp.up_proj.weight", *(f"model.layers.0.self_attn.{x}_proj.weight" for x in "qk")


def keep(num_bytes: int) -> Callable[[Path], object]:
    """Leaves only the beginning of the weight file (or, negative, all but the end)."""
    return lambda folder: (folder / SINGLE).write_bytes((folder / SINGLE).read_bytes()[:num_bytes])


def replace(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / SINGLE).write_bytes(content)


def pickled_only(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "pytorch_model.bin")


def drop(*names: str) -> Callable[[Path], object]:
    return lambda folder: edit_tensors(folder, lambda tensors: [tensors.pop(name) for name in names])


def put(name: str, tensor: torch.Tensor) -> Callable[[Path], object]:
    return lambda folder: edit_tensors(folder, lambda tensors: tensors.update({name: tensor}))


def overlap(folder: Path) -> None:
    """Two tensors claim the same bytes."""
    edit_header(folder / SINGLE, lambda header: header[K].update(data_offsets=header[Q]["data_offsets"]))


HEADER_WITHOUT_SHAPE = b'{"x":{"dtype":"F32"}}'

CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / SINGLE).unlink(), "holds no weights"),
    "pickled": (pickled_only, "only pickled weights"),
    "empty file": (keep(0), "not a safetensors file"),
    "half a header": (keep(100), "ends within its header"),
    "half written": (keep(-1000), "bytes where its header promises"),
    "trailing bytes": (
        lambda folder: (folder / SINGLE).write_bytes((folder / SINGLE).read_bytes() + b"x"),
        "bytes where its header promises",
    ),
    "text": (replace(b"version https://git-lfs.github.com/spec/v1\n"), "not a safetensors file"),
    "header is no json": (replace((4).to_bytes(8, "little") + b"junk"), "not a safetensors file"),
    "header is a list": (replace((2).to_bytes(8, "little") + b"[]"), "not a safetensors file"),
    "header without shapes": (
        replace(len(HEADER_WITHOUT_SHAPE).to_bytes(8, "little") + HEADER_WITHOUT_SHAPE),
        "not a safetensors file",
    ),
    "overlapping tensors": (overlap, "not a valid safetensors file"),
    "missing tensor": (drop(UP), f"lack {UP}$"),
    "missing tensors": (drop(Q, K), r"lack .* and 1 more$"),
    "missing head": (drop("lm_head.weight"), r"lack lm_head\.weight"),
    "leftover tensor": (put("model.layers.3.mlp.up_proj.weight", torch.ones(1)), r"layers\.3.*no use for"),
    "leftover bias": (put(Q.replace("weight", "bias"), torch.ones(64)), r"q_proj\.bias.*no use for"),
    "wrong shape": (put(UP, torch.ones(112, 63)), r"shape \[112, 63\], not \[112, 64\]"),
    "transposed": (put(UP, torch.ones(64, 112)), r"shape \[64, 112\]"),
    "integers": (put(UP, torch.ones(112, 64, dtype=torch.int8)), "stored as I8"),
    "eight bits": (put(UP, torch.ones(112, 64).to(torch.float8_e4m3fn)), "stored as F8_E4M3"),
    "another config": (lambda folder: edit_config(folder, hidden_size=128), "shape"),
    "more layers": (lambda folder: edit_config(folder, num_hidden_layers=4), r"lack model\.layers\.3.* more"),
    "fewer layers": (lambda folder: edit_config(folder, num_hidden_layers=2), "no use for"),
    "another vocabulary": (lambda folder: edit_config(folder, vocab_size=512), r"\[509, 64\], not \[512, 64\]"),
}
SHARDED_CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing shard": (lambda folder: (folder / FIRST).unlink(), f"{FIRST} is missing"),
    "file outside": (lambda folder: edit_index(folder, lambda m: m.update({Q: "../x.safetensors"})), "no file of the"),
    "file is a number": (lambda folder: edit_index(folder, lambda m: m.update({Q: 1})), "no file of the folder"),
    "empty index": (lambda folder: edit_index(folder, lambda m: m.clear()), "names no files"),
    "index names too much": (lambda folder: edit_index(folder, lambda m: m.update(extra=FIRST)), "about 'extra'"),
    "index names too little": (lambda folder: edit_index(folder, lambda m: m.pop(Q)), "disagree about"),
    "index is no json": (lambda folder: (folder / INDEX).write_text("{"), "not valid JSON"),
    "shard of another": (
        lambda folder: (folder / FIRST).write_bytes((folder / FIRST.replace("00001", "00002", 1)).read_bytes()),
        "disagree about",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_single_file(case: str, tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    spoil, reason = CASES[case]
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        Decoder.load(folder)
    assert re.search(reason, caught.value.cause)
    assert caught.value.fix.endswith(".")


@pytest.mark.parametrize("case", SHARDED_CASES)
def test_sharded(case: str, tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    shard(folder, 2)
    spoil, reason = SHARDED_CASES[case]
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        Decoder.load(folder)
    assert re.search(reason, caught.value.cause)
    assert caught.value.fix.endswith(".")


def test_checks_come_before_memory(tmp_path: Path) -> None:
    folder = copy_model("llama", tmp_path)
    edit_config(folder, vocab_size=10**15)
    with pytest.raises(ModelError, match="shape"):
        Decoder.load(folder)
