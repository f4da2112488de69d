"""What only a CUDA device can show; skipped where there is none. `make gpu` runs these measurements at full size."""

import asyncio

import pytest
import torch

from common.cache.driver import CudaDriver, DriverError
from common.cache.storage import KVStorage
from common.engine.meter import CudaMeter
from common.engine.stage import CudaStage
from common.kernels.toolchain import check_launches
from kvtransfer.transports.cuda.device_pool import CudaQueue, make_device_pool
from kvtransfer.transports.outbox import DeviceOutbox
from loadtest.gpu.handoff_rows import EIGHT_BITS, PARITY, eight_bits, parity
from tests.cache.test_storage import LAYOUT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICE = torch.device("cuda", 0)


def test_the_pool_is_a_view_of_memory_that_has_a_handle() -> None:
    storage = KVStorage(LAYOUT, 6, "cuda:0", num_scratch=1)
    assert storage.memory is not None
    assert storage.tensor.data_ptr() == storage.memory.pointer
    assert storage.tensor.device == DEVICE
    assert not storage.tensor.any()
    assert len(storage.memory.handle()) == 64
    with pytest.raises(DriverError):
        CudaDriver(0).open(storage.memory.handle())
    assert any(CudaDriver(0).identity)


def test_uploads_and_downloads_keep_their_order() -> None:
    stage = CudaStage(DEVICE)
    stage.enter()
    waits = []
    for number in range(50):
        waits.append(stage.download(stage.upload(torch.full((1000,), number).numpy()) * 2))
    assert [int(wait()[0]) for wait in waits] == [2 * number for number in range(50)]


def test_a_captured_step_reads_what_lies_at_its_addresses() -> None:
    stage = CudaStage(DEVICE)
    stage.enter()
    source, target = torch.zeros(4, device=DEVICE), torch.zeros(4, device=DEVICE)
    replay = stage.capture(lambda: target.copy_(source * 2))  # type: ignore[arg-type]
    source.fill_(3)
    replay()
    assert stage.download(target)().tolist() == [6.0] * 4


def test_no_queue_of_copies_gets_the_steps_stream() -> None:
    stage = CudaStage(DEVICE)
    stage.enter()
    own = torch.cuda.current_stream(DEVICE).cuda_stream
    assert own not in {CudaQueue(DEVICE).stream for _ in range(100)}


def test_a_capture_that_fails_leaves_the_thread_on_its_stream() -> None:
    stage = CudaStage(DEVICE)
    stage.enter()
    own, source, calls = torch.cuda.current_stream(DEVICE), torch.zeros(4, device=DEVICE), list[float]()

    def step() -> None:
        source.add_(1)
        if calls:
            source.cpu()  # waits, which no capture may
        calls.append(1.0)

    with pytest.raises(RuntimeError):
        stage.capture(step)
    assert torch.cuda.current_stream(DEVICE) == own
    assert stage.download(source + 1)().tolist() == [2.0] * 4


def test_triton_can_launch_here() -> None:
    check_launches()


def test_a_meter_sees_what_torch_takes() -> None:
    meter = CudaMeter(DEVICE)
    before = meter.taken()
    meter.mark()
    held = torch.empty(64 << 20, dtype=torch.uint8, device=DEVICE)
    assert meter.peak() - before >= len(held)
    assert 0 < meter.free() < meter.total()


async def test_a_lender_reads_its_device_by_way_of_pinned_memory() -> None:
    storage = KVStorage(LAYOUT, 6, "cuda:0")
    assert storage.memory is not None
    storage.tensor.normal_()
    pool = make_device_pool(storage.memory, 6, LAYOUT.block_bytes, "layout")
    [block] = await DeviceOutbox(pool).read([4])
    assert bytes(block) == storage.tensor[4].view(torch.uint8).cpu().numpy().tobytes()


@pytest.mark.parametrize("name", PARITY)
def test_both_legs_over_cuda_ipc_between_two_processes(name: str) -> None:
    row = asyncio.run(parity(name, DEVICE))
    assert row.good, row.failed


def test_eight_bits_over_cuda_ipc_between_two_processes() -> None:
    row = asyncio.run(eight_bits(EIGHT_BITS, DEVICE))
    assert row.good, row.measured
