"""The bytes of the pool, and the checksum over a block of them."""

import mmap
import os

import numpy as np
import pytest
import torch
import xxhash

from common.cache.checksum import block_checksum
from common.cache.storage import KVStorage
from common.types.errors import StartupError
from common.types.kv import KVLayout

LAYOUT = KVLayout(model="m", num_layers=2, num_kv_heads=3, block_tokens=4, head_dim=5, dtype="bfloat16")


@pytest.fixture
def storage() -> KVStorage:
    return KVStorage(LAYOUT, 6)


def rows(storage: KVStorage) -> "np.typing.NDArray[np.uint8]":
    assert storage.bytes is not None
    return storage.bytes


def test_tensor_and_bytes_are_the_same_memory(storage: KVStorage) -> None:
    assert tuple(storage.tensor.shape) == (6, 2, 2, 3, 4, 5)
    assert storage.tensor.dtype == torch.bfloat16
    assert rows(storage).shape == (6, LAYOUT.block_bytes)
    storage.tensor[4, 1, 0, 2, 3, 1] = 1.5
    place = np.ravel_multi_index((1, 0, 2, 3, 1), LAYOUT.block_shape)
    found = rows(storage)[4].view(np.uint16)
    assert found[place] == 0x3FC0
    assert np.count_nonzero(rows(storage)) == 2
    storage.close()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_other_dtypes(dtype: str) -> None:
    layout = KVLayout("m", 1, 1, 2, 8, dtype)
    storage = KVStorage(layout, 3)
    assert storage.tensor.nbytes == rows(storage).nbytes == storage.num_bytes == 3 * layout.block_bytes
    storage.close()


def test_a_peer_reads_the_pool_and_cannot_write_or_shrink_it(storage: KVStorage) -> None:
    storage.tensor.fill_(1.0)
    fd = os.dup(storage.fd or -1)
    view = mmap.mmap(fd, storage.num_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
    assert view[:] == rows(storage).tobytes()
    with pytest.raises(PermissionError):
        mmap.mmap(fd, storage.num_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    view.close()
    os.close(fd)
    storage.close()


def test_the_pages_are_there_from_the_start(storage: KVStorage) -> None:
    assert os.fstat(storage.fd or -1).st_blocks * 512 >= storage.num_bytes
    storage.close()


def test_closing_gives_the_descriptor_back_and_leaves_views_alive(storage: KVStorage) -> None:
    fd, view = storage.fd, storage.tensor
    assert fd is not None
    storage.close()
    storage.close()
    assert storage.fd is None
    assert storage.bytes is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    view[5] = 2.0
    assert float(view[5, 0, 0, 0, 0, 0]) == 2.0


def test_too_little_memory_is_a_startup_error_before_anything_is_taken() -> None:
    with pytest.raises(StartupError, match="needs 1 MiB and 0 MiB are free") as caught:
        KVStorage(LAYOUT, 2**20 // LAYOUT.block_bytes, available_bytes=1000)
    assert "kv_memory" in caught.value.fix
    with pytest.raises(StartupError, match="are free"):
        KVStorage(LAYOUT, 2**50 // LAYOUT.block_bytes)


def test_a_pool_of_nothing_is_refused() -> None:
    with pytest.raises(StartupError, match="no block"):
        KVStorage(LAYOUT, 0)


def test_what_the_kernel_refuses_is_a_startup_error(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def full(fd: int, offset: int, length: int) -> None:
        opened.append(fd)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StartupError, match="No space left"):
        KVStorage(LAYOUT, 4)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_a_checksum_covers_every_bit_of_its_block_and_no_other(storage: KVStorage) -> None:
    storage.tensor.copy_(torch.randn(storage.tensor.shape, generator=torch.Generator().manual_seed(1)))
    before = [block_checksum(row) for row in rows(storage)]
    assert before[2] == xxhash.xxh3_64_intdigest(rows(storage)[2].tobytes())
    for bit in (0, 7, LAYOUT.block_bytes * 4 + 3, LAYOUT.block_bytes * 8 - 1):
        rows(storage)[2, bit // 8] ^= 1 << bit % 8
        after = [block_checksum(row) for row in rows(storage)]
        assert [place for place in range(6) if before[place] != after[place]] == [2]
        rows(storage)[2, bit // 8] ^= 1 << bit % 8
    storage.close()
