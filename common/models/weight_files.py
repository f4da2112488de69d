"""What a folder's safetensors files hold, from their headers alone. No torch: the fingerprint is made of it too.

Owns file discovery and whole-file checks. Reads no weights. Pickled formats are not read, ever.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from common.models.fields import REPLACE_FILE, read_fields
from common.types.errors import ModelError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100 << 20


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file; `start` and `end` are bytes from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One safetensors file, known to be complete."""

    path: Path
    num_bytes: int
    header: bytes
    tensors: tuple[StoredTensor, ...]


def read_weight_files(folder: Path) -> tuple[WeightFile, ...]:
    """All weight files of a folder, in name order."""
    if (folder / SINGLE).is_file():
        return (read_weight_file(folder / SINGLE),)
    if not (folder / INDEX).is_file():
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        cause = "holds only pickled weights" if pickled else "holds no weights"
        raise ModelError(f"{folder} {cause}", f"Baton reads {SINGLE}, or {INDEX} and the files it names.")
    weight_map = read_fields(folder / INDEX).inner("weight_map").values
    named: dict[str, set[str]] = {}
    for tensor, file in weight_map.items():
        # a name with a folder in it would read outside the model
        if not isinstance(file, str) or Path(file).name != file:
            raise ModelError(f"{INDEX} names {file!r}, which is no file of the folder", REPLACE_FILE)
        named.setdefault(file, set()).add(tensor)
    if not named:
        raise ModelError(f"{INDEX} names no files", REPLACE_FILE)
    files = []
    for name in sorted(named):
        if not (folder / name).is_file():
            raise ModelError(f"the weight file {name} is missing", "Finish downloading the model.")
        file = read_weight_file(folder / name)
        held = {tensor.name for tensor in file.tensors}
        if held != named[name]:
            odd = min(held ^ named[name])
            raise ModelError(f"{INDEX} and {name} disagree about {odd!r}", "Download both files again.")
        files.append(file)
    return tuple(files)


def read_weight_file(path: Path) -> WeightFile:
    """Reads and checks a header: every tensor must lie within the file, and the file end where the last one does."""
    broken = f"{path.name} is not a safetensors file"
    try:
        with path.open("rb") as file:
            num_bytes = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if num_bytes < 8 or length > MAX_HEADER_BYTES:
                raise ModelError(broken, REPLACE_FILE)
            header = file.read(length)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "Check the file's permissions.") from error
    if len(header) < length:
        raise ModelError(f"{path.name} ends within its header", "Finish downloading the model.")
    try:
        entries = json.loads(header)
        tensors = tuple(
            StoredTensor(
                name,
                str(entry["dtype"]),
                tuple(int(size) for size in entry["shape"]),
                8 + length + int(entry["data_offsets"][0]),
                8 + length + int(entry["data_offsets"][1]),
            )
            for name, entry in entries.items()
            if name != "__metadata__"
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(broken, REPLACE_FILE) from error
    expected = max((tensor.end for tensor in tensors), default=8 + length)
    if num_bytes != expected:
        raise ModelError(
            f"{path.name} has {num_bytes} bytes where its header promises {expected}", "Finish downloading the model."
        )
    return WeightFile(path, num_bytes, header, tensors)
