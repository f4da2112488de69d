"""A bench as the GPU's measurements use it, on a tiny model over stand-ins."""

import torch

from common.cache.storage import KVStorage
from common.engine.device_runner import DeviceRunner
from common.engine.graphs import Graphs
from common.engine.static_batch import StaticBatch
from common.models.decoder import Decoder
from loadtest.gpu.bench import BLOCK_TOKENS, Bench
from tests.cache.fake_driver import FakeDriver
from tests.engine.fake_stage import FakeStage
from tests.tiny import tiny_model


def make_bench(
    driver: FakeDriver, num_blocks: int, rungs: tuple[int, ...], max_tokens: int, kv_dtype: str = "auto"
) -> Bench:
    decoder = Decoder.load(tiny_model("llama"), "float32", kv_dtype=kv_dtype)
    stage = FakeStage()
    storage = KVStorage(decoder.layout(BLOCK_TOKENS, "measured"), num_blocks, driver=driver, num_scratch=1)
    inputs = StaticBatch(stage, max(rungs), max_tokens, BLOCK_TOKENS, num_blocks)
    with torch.inference_mode():
        steps = Graphs(stage, inputs, lambda batch: decoder.forward(batch, storage.tensor), rungs)
    runner = DeviceRunner(decoder, storage, stage, inputs, steps)
    return Bench(decoder, storage, stage, inputs, steps, runner)  # type: ignore[arg-type]
