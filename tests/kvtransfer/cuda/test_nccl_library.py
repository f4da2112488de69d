"""Every call of the real NCCL, over a library in C of the same prototypes: types, order, progress, abort."""

import ctypes
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.cuda import nccl_library
from kvtransfer.transports.cuda.nccl_library import ID_BYTES, NcclCommunicator, NcclLibrary
from tests.native_library import compiled

SOURCE = Path(__file__).parent / "stand_in_nccl.c"
DEVICE = torch.device("cuda", 1)


class StandIn:
    """The library's own variables."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def get(self, name: str, kind: Any = ctypes.c_int) -> Any:
        return kind.in_dll(self.library, name).value

    def set(self, name: str, value: int) -> None:
        ctypes.c_int.in_dll(self.library, name).value = value

    def numbers(self, name: str, count: int) -> list[int]:
        return list((ctypes.c_int * count).in_dll(self.library, name))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(SOURCE, tmp_path_factory.mktemp("nccl"))


@pytest.fixture
def inside(built: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: built)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    stand_in = StandIn(built)
    for name, value in (("num_pending", 0), ("final_state", 0), ("join_answer", 7), ("move_answer", 0)):
        stand_in.set(name, value)
    stand_in.set("num_aborts", 0)
    return stand_in


def joined(timeout_s: float = 30.0) -> NcclCommunicator:
    library = NcclLibrary()
    return library.join(library.new_id(), 1, DEVICE, timeout_s)


def test_its_numbers_are_the_headers(inside: StandIn) -> None:
    offset = nccl_library._Config.blocking.offset
    expected = [nccl_library._SUCCESS, nccl_library._IN_PROGRESS, nccl_library._UINT8, offset]
    assert inside.numbers("constants", 4) == expected


def test_joining_names_the_communicator_and_does_not_block(inside: StandIn) -> None:
    inside.set("num_pending", 2)
    joined()
    assert bytes((ctypes.c_ubyte * ID_BYTES).in_dll(inside.library, "named")) == bytes(range(ID_BYTES))
    assert inside.numbers("joined", 2) == [2, 1]
    assert inside.get("config_size", ctypes.c_size_t) == 24, "what a program built with 2.14 would say"
    assert inside.get("config_magic", ctypes.c_uint) == 0xCAFEBEEF
    assert inside.get("config_version", ctypes.c_uint) == 21400
    assert inside.get("config_blocking") == 0


def test_bytes_go_to_the_other_one_on_the_stream_given(inside: StandIn) -> None:
    communicator = joined()
    communicator.send(0x7000_0000_0010, 5 << 32, 0x5555)
    assert inside.get("moved_pointer", ctypes.c_void_p) == 0x7000_0000_0010
    assert inside.get("moved_bytes", ctypes.c_size_t) == 5 << 32
    assert inside.get("moved_stream", ctypes.c_void_p) == 0x5555
    assert inside.numbers("moved", 3) == [1, 1, 1]
    communicator.receive(16, 8, 0)
    assert inside.numbers("moved", 3) == [0, 1, 0]
    assert inside.get("moved_stream", ctypes.c_void_p) is None


def test_a_move_that_is_only_begun_is_waited_for(inside: StandIn) -> None:
    communicator = joined()
    inside.set("move_answer", 7)
    inside.set("num_pending", 3)
    communicator.send(1, 1, 1)
    assert inside.get("num_pending") == -1


def test_a_side_that_never_joins_is_given_up_and_aborted(inside: StandIn) -> None:
    inside.set("num_pending", 1 << 30)
    with pytest.raises(TransportFailed, match="did not join"):
        joined(0.02)
    assert inside.get("num_aborts") == 1


@pytest.mark.parametrize(("name", "value"), [("join_answer", 3), ("final_state", 6)])
def test_what_fails_is_told_by_its_code(inside: StandIn, name: str, value: int) -> None:
    inside.set(name, value)
    with pytest.raises(TransportFailed, match=f"code {value}"):
        joined()


def test_an_abort_is_one_and_nothing_is_asked_after_it(inside: StandIn) -> None:
    communicator = joined()
    communicator.abort()
    communicator.abort()
    assert inside.get("num_aborts") == 1
    with pytest.raises(TransportFailed, match="fenced"):
        communicator.send(1, 1, 1)


def test_an_abort_ends_a_wait(inside: StandIn) -> None:
    communicator = joined()
    inside.set("num_pending", 1 << 30)
    ended: list[str] = []

    def wait() -> None:
        try:
            communicator.settle(1000.0)
        except TransportFailed as failure:
            ended.append(failure.reason)

    waiting = threading.Thread(target=wait)
    waiting.start()
    communicator.abort()
    waiting.join(30)
    assert ended == ["the connection was fenced"]


def test_a_name_of_another_length_is_refused(inside: StandIn) -> None:
    with pytest.raises(TransportFailed, match="another kind"):
        NcclLibrary().join(b"short", 0, DEVICE, 1.0)
