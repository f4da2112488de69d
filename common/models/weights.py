"""Reads a folder's weights into parameters: everything is checked from the headers first, then streamed.

Owns the mapping from files to memory. Files are mapped, each tensor is copied once, straight to its place.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from common.models.config import ModelConfig
from common.models.parameters import Parameters, allocate
from common.models.weight_files import WeightFile, read_weight_files
from common.types.errors import ModelError

Progress = Callable[[int, int], None]
STORED_DTYPES = ("F32", "BF16", "F16")
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
WRONG_MODEL = "The weights and config.json are not of one model: download it again."


def load_parameters(
    folder: Path, config: ModelConfig, dtype: torch.dtype, device: torch.device, progress: Progress | None = None
) -> Parameters:
    """`progress` is called with (bytes read, bytes in all) after every tensor."""
    files = read_weight_files(folder)
    _check(files, allocate(config, dtype, "meta").stored, config.tied)
    parameters = allocate(config, dtype, device)
    total = sum(tensor.end - tensor.start for file in files for tensor in file.tensors)
    done = 0
    for file in files:
        for name, tensor in _tensors(file):
            if name in parameters.stored:
                parameters.stored[name].copy_(tensor)
            done += tensor.numel() * tensor.element_size()
            if progress is not None:
                progress(done, total)
    if config.tied:
        _check_tied_head(files, parameters.embedding)
    return parameters


def _check(files: tuple[WeightFile, ...], wanted: dict[str, torch.Tensor], tied: bool) -> None:
    """Refuses missing, unexpected and misshapen tensors before any memory is taken."""
    seen: set[str] = set()
    for file in files:
        for tensor in file.tensors:
            seen.add(tensor.name)
            # older tools stored this table, which is computed here; and the head of a tied model, compared below
            if tensor.name.endswith("rotary_emb.inv_freq") or (tied and tensor.name == HEAD):
                continue
            if tensor.name not in wanted:
                raise ModelError(
                    f"{file.path.name} holds {tensor.name!r}, which this model has no use for", WRONG_MODEL
                )
            shape = tuple(wanted[tensor.name].shape)
            if tensor.shape != shape:
                raise ModelError(f"{tensor.name} has shape {list(tensor.shape)}, not {list(shape)}", WRONG_MODEL)
            if tensor.dtype not in STORED_DTYPES:
                raise ModelError(
                    f"{tensor.name} is stored as {tensor.dtype}", f"Supported: {', '.join(STORED_DTYPES)}."
                )
    missing = sorted(wanted.keys() - seen)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"the weight files lack {missing[0]}{more}", WRONG_MODEL)


def _tensors(file: WeightFile, only: str | None = None) -> Iterable[tuple[str, torch.Tensor]]:
    """The tensors of one file, in the order they are stored, as views of the mapped file."""
    try:
        opened: Any = safe_open(file.path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise ModelError(f"{file.path.name} is not a valid safetensors file", "Download it again.") from error
    with opened as mapped:
        for tensor in sorted(file.tensors, key=lambda tensor: tensor.start):
            if only is None or tensor.name == only:
                yield tensor.name, mapped.get_tensor(tensor.name)


def _check_tied_head(files: tuple[WeightFile, ...], embedding: torch.Tensor) -> None:
    """Some folders of tied models store the head as well; then it must be the same numbers."""
    for file in files:
        for _, head in _tensors(file, only=HEAD):
            if head.shape != embedding.shape or not torch.equal(head.to(embedding), embedding):
                raise ModelError(
                    f"{HEAD} differs from {EMBEDDING}, though config.json says they are one",
                    "Set tie_word_embeddings to false in config.json if the model has a head of its own.",
                )
