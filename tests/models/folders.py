"""Model folders to break: copies of a tiny model whose files a test may rewrite."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_model

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
Tensors = dict[str, torch.Tensor]


def copy_model(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(tiny_model(name), folder / name))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(folder: Path, change: Callable[[Tensors], object]) -> None:
    """Rewrites the single weight file with what `change` makes of its tensors, in place."""
    tensors = load_file(folder / SINGLE)
    change(tensors)
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / SINGLE)


def edit_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrites a weight file's header and nothing else; its length stays, padded with blanks."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    changed = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])


def shard(folder: Path, num_shards: int) -> None:
    """Spreads the single weight file over several, with an index, the way large models come."""
    tensors = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    weight_map = {}
    for number in range(num_shards):
        file = f"model-{number + 1:05}-of-{num_shards:05}.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[number::num_shards]}
        save_file(part, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def edit_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    index = json.loads((folder / INDEX).read_text())
    change(index["weight_map"])
    (folder / INDEX).write_text(json.dumps(index))
