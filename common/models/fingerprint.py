"""Names a model by content, so that two workers exchange KV blocks only when they hold the same weights.

No torch: a router can compute it too. Reads headers and samples, not whole files: seconds matter at start-up.
"""

import hashlib
from pathlib import Path

from common.models.weight_files import WeightFile, read_weight_files
from common.types.errors import ModelError

# Fine-tunes of one model have equal shapes; what tells them apart is the numbers in nearly every tensor.
SAMPLE_BYTES = 256
CONTENT_FILES = ("config.json", "tokenizer.json")


def model_fingerprint(folder: Path | str) -> str:
    """32 hex digits over the configuration, the tokenizer, and the weight files' names, sizes, headers and samples."""
    folder = Path(folder)
    hasher = hashlib.blake2b(digest_size=16)

    def add(part: bytes) -> None:
        hasher.update(len(part).to_bytes(8, "little") + part)

    try:
        for name in CONTENT_FILES:
            path = folder / name
            add(name.encode())
            add(path.read_bytes() if path.is_file() else b"")
        for file in read_weight_files(folder):
            add(file.path.name.encode())
            add(file.num_bytes.to_bytes(8, "little"))
            add(file.header)
            add(_samples(file))
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror}", "Check the folder's permissions.") from error
    return hasher.hexdigest()


def _samples(file: WeightFile) -> bytes:
    """A few bytes from the start, the middle and the end of every tensor."""
    parts = []
    with file.path.open("rb") as stream:
        for tensor in file.tensors:
            size = min(SAMPLE_BYTES, tensor.end - tensor.start)
            for place in (tensor.start, (tensor.start + tensor.end - size) // 2, tensor.end - size):
                stream.seek(place)
                parts.append(stream.read(size))
    return b"".join(parts)
